package logging

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/systemd"
)

// identifier is SYSLOG_IDENTIFIER, the name that journalctl -t takes.
const identifier = "tcp-proxy"

// journal writes entries to the journal with their fields: a logrus.Hook that stands in for the logger's output. An
// entry that the journal does not take goes to fallback, as a line that begins with its priority in the form that
// journald reads from a standard error of its own (systemd.exec(5): SyslogLevelPrefix=).
type journal struct {
	send     func([]systemd.Field) error
	fallback io.Writer
}

// install makes the logger write to the journal alone.
func (j journal) install(log *logrus.Logger) {
	log.SetOutput(io.Discard)
	log.SetFormatter(silent{})
	log.ReplaceHooks(logrus.LevelHooks{})
	log.AddHook(j)
}

// silent formats nothing: what it would be written to is discarded.
type silent struct{}

func (silent) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

// Levels implements logrus.Hook.
func (journal) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (j journal) Fire(entry *logrus.Entry) error {
	message, priority := message(entry), priority(entry.Level)
	fields := []systemd.Field{
		{Name: "MESSAGE", Value: message},
		{Name: "PRIORITY", Value: strconv.Itoa(priority)},
		{Name: "SYSLOG_IDENTIFIER", Value: identifier},
	}
	if event, ok := entry.Data[EventKey].(Event); ok {
		fields = append(fields, systemd.Field{Name: "MESSAGE_ID", Value: event.MessageID()})
	}
	for key, value := range entry.Data {
		fields = append(fields, systemd.Field{Name: fieldName(key), Value: fmt.Sprint(value)})
	}
	err := j.send(fields)
	if err == nil {
		return nil
	}
	prefix := fmt.Sprintf("<%d>", priority)
	lines := strings.ReplaceAll(message, "\n", "\n"+prefix)
	if _, err := fmt.Fprintf(j.fallback, "%s%s\n", prefix, lines); err != nil {
		return fmt.Errorf("write a log entry: %w", err)
	}
	return nil
}

// fieldName gives the name of a journal field: A to Z, 0 to 9 and underscores.
func fieldName(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		default:
			return '_'
		}
	}, key)
}

// message gives an entry as the line that journalctl shows: what happened, then the fields in order, the error last.
func message(entry *logrus.Entry) string {
	var b strings.Builder
	b.WriteString(entry.Message)
	for _, key := range slices.Sorted(maps.Keys(entry.Data)) {
		if key == EventKey || key == logrus.ErrorKey {
			continue
		}
		if value := fmt.Sprint(entry.Data[key]); value == "" || strings.ContainsAny(value, " \"=\n") {
			fmt.Fprintf(&b, " %s=%q", key, value)
		} else {
			fmt.Fprintf(&b, " %s=%s", key, value)
		}
	}
	if err, ok := entry.Data[logrus.ErrorKey]; ok {
		fmt.Fprintf(&b, ": %v", err)
	}
	return b.String()
}

// priority gives the priority that syslog(3) has for a level.
func priority(level logrus.Level) int {
	switch level {
	case logrus.PanicLevel:
		return 0
	case logrus.FatalLevel:
		return 2
	case logrus.ErrorLevel:
		return 3
	case logrus.WarnLevel:
		return 4
	case logrus.InfoLevel:
		return 6
	default:
		return 7
	}
}

// Fail says on standard error why the process ends: as an entry of priority 3 (error) where that is the journal, else
// as plain text.
func Fail(err error) {
	if systemd.StderrIsJournal() {
		if native, openErr := systemd.OpenJournal(); openErr == nil {
			defer native.Close()
			log := logrus.New()
			journal{native.Send, os.Stderr}.install(log)
			entry := logrus.NewEntry(log)
			if errors.Is(err, unix.EADDRINUSE) {
				entry = entry.WithField(EventKey, PortInUse)
			}
			entry.Error(err)
			return
		}
	}
	fmt.Fprintln(os.Stderr, err)
}
