package proxy

import (
	"fmt"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
)

// For how long an operator may set a level of the log. At levels below info every session has entries, so these always end by
// themselves.
const (
	MinLogLevelTime  = time.Second
	MaxLogLevelTime  = 24 * time.Hour
	DebugLogLevelFor = 10 * time.Minute // if no time is given

	LogLevelTimes = "from 1s to 24h"
)

// LogLevel is which entries of the log are written. Its JSON is the body of /api/v1/log-level.
type LogLevel struct {
	Level      string    `json:"level"`                // entries below it are dropped
	Configured string    `json:"configured,omitempty"` // the configured level, while an operator has set another; empty: none has
	Until      time.Time `json:"until,omitzero"`       // when the configured level is in force again by itself; zero: not by itself
}

// LogLevel returns which entries of the log are written.
func (s *Server) LogLevel() LogLevel {
	state := s.log.LevelState()
	return LogLevel{Level: state.Level, Configured: state.Configured, Until: state.Until.Round(0)}
}

// CheckLogLevel returns the level that a word means, and for how long it is set, or why that cannot be. A time of 0 is none
// given: debug and trace then have DebugLogLevelFor, and others last.
func CheckLogLevel(word string, d time.Duration) (string, time.Duration, error) {
	scratch := config.Default()
	if err := scratch.Override("log.level", word); err != nil {
		return "", 0, fmt.Errorf("the level %w", err)
	}
	level := scratch.Log.Level
	switch {
	case d == 0 && (level == logging.Debug.String() || level == logging.Trace.String()):
		d = DebugLogLevelFor
	case d != 0 && (d < MinLogLevelTime || d > MaxLogLevelTime):
		return "", 0, fmt.Errorf("the time must be %s, not %v", LogLevelTimes, d)
	}
	return level, d, nil
}

// SetLogLevel sets the level of the log in place of the configured one, for a time, as CheckLogLevel has it. Reloads do not
// change it. by is who has asked for it.
func (s *Server) SetLogLevel(word string, d time.Duration, by string) error {
	level, d, err := CheckLogLevel(word, d)
	if err != nil {
		return err
	}
	if err := s.log.OverrideLevel(level, d, by, func() { s.noteLogLevel("") }); err != nil {
		return err
	}
	s.noteLogLevel(by)
	return nil
}

// ResetLogLevel puts the configured level of the log in force. by is who has asked for it.
func (s *Server) ResetLogLevel(by string) {
	if s.log.ResetLevel(by) {
		s.noteLogLevel(by)
	}
}

// noteLogLevel adds an event about the level that is in force now. by is who has changed it; empty: its time is over.
func (s *Server) noteLogLevel(by string) {
	level := s.LogLevel()
	text := "log level is " + level.Level
	switch {
	case level.Configured == "":
		text += " again, as configured"
	case !level.Until.IsZero():
		text += fmt.Sprintf(" for %v; the configured level is %s", time.Until(level.Until).Round(time.Second), level.Configured)
	default:
		text += "; the configured level is " + level.Configured
	}
	event := Event{Kind: EventLogLevel, Text: text}
	if by != "" {
		event.Reason = "set by " + by
	}
	s.history.note(event)
}
