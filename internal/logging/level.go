package logging

import (
	"fmt"
	"sync"
	"time"
)

// LevelState is which entries are written.
type LevelState struct {
	Level      string    // the level in force: entries below it are dropped
	Configured string    // the configured level while OverrideLevel has set another; or ""
	Until      time.Time // when the configured level is in force again by itself; zero: it is now, or only after ResetLevel
}

// levels are the levels of a Logger: the configured one, and one that was set at run time, which goes before it until it ends.
type levels struct {
	mu         sync.Mutex // guards what follows; Logger.level is the level in force, and changes under it
	configured Level
	current    *levelOverride // nil: the configured level is in force
}

// levelOverride is a level that was set at run time.
type levelOverride struct {
	level Level
	until time.Time   // zero: it does not end by itself
	timer *time.Timer // that ends it; nil: it does not end by itself
}

// SetLevel sets the configured level, by its name. It is in force unless OverrideLevel has set another.
func (l *Logger) SetLevel(name string) error {
	level, err := parseLevel(name)
	if err != nil {
		return err
	}
	l.levels.mu.Lock()
	defer l.levels.mu.Unlock()
	l.levels.configured = level
	l.applyLevel()
	return nil
}

// OverrideLevel sets a level, by its name, in place of the configured one: for a while, or until ResetLevel if that is 0.
// Another call replaces it. by is who has asked for it. ended is called when it ends by itself. The log says what has changed,
// at every level.
func (l *Logger) OverrideLevel(name string, d time.Duration, by string, ended func()) error {
	level, err := parseLevel(name)
	if err != nil {
		return err
	}
	l.levels.mu.Lock()
	defer l.levels.mu.Unlock()
	l.stopOverride()
	o := &levelOverride{level: level}
	text := fmt.Sprintf("log level is %v, set by %s; the configured level is %v", level, by, l.levels.configured)
	if d > 0 {
		o.until = time.Now().Add(d)
		o.timer = time.AfterFunc(d, func() {
			if l.endOverride(o) {
				ended()
			}
		})
		text = fmt.Sprintf("log level is %v for %v, set by %s; the configured level is %v", level, d, by, l.levels.configured)
	}
	l.levels.current = o
	l.applyLevel()
	l.add(newEntry(Info, text, nil))
	return nil
}

// ResetLevel puts the configured level in force. It reports false if it is already.
func (l *Logger) ResetLevel(by string) bool {
	l.levels.mu.Lock()
	defer l.levels.mu.Unlock()
	if l.levels.current == nil {
		return false
	}
	l.stopOverride()
	l.add(newEntry(Info, fmt.Sprintf("log level is %v again, as configured; reset by %s", l.levels.configured, by), nil))
	return true
}

// LevelState returns which entries are written.
func (l *Logger) LevelState() LevelState {
	l.levels.mu.Lock()
	defer l.levels.mu.Unlock()
	if o := l.levels.current; o != nil {
		return LevelState{Level: o.level.String(), Configured: l.levels.configured.String(), Until: o.until}
	}
	return LevelState{Level: l.levels.configured.String()}
}

// endOverride is called when the time of a level is over. It reports false if the level was replaced before.
func (l *Logger) endOverride(o *levelOverride) bool {
	l.levels.mu.Lock()
	defer l.levels.mu.Unlock()
	if l.levels.current != o {
		return false
	}
	l.stopOverride()
	l.add(newEntry(Info, fmt.Sprintf("log level is %v again, as configured", l.levels.configured), nil))
	return true
}

// stopOverride puts the configured level in force. The caller holds levels.mu.
func (l *Logger) stopOverride() {
	if o := l.levels.current; o != nil && o.timer != nil {
		o.timer.Stop()
	}
	l.levels.current = nil
	l.applyLevel()
}

// applyLevel makes the level in force what levels says. The caller holds levels.mu.
func (l *Logger) applyLevel() {
	level := l.levels.configured
	if o := l.levels.current; o != nil {
		level = o.level
	}
	l.level.Store(uint32(level))
}
