package logging

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"tcp-proxy/internal/systemd"
)

// identifier is the SYSLOG_IDENTIFIER, for journalctl -t.
const identifier = "tcp-proxy"

// journal is a sink that writes entries to the journal with their fields. If sending an entry fails, it is written to
// fallback, as a line with the prefix by which journald recognizes the priority (systemd.exec(5): SyslogLevelPrefix=).
type journal struct {
	send     func([]systemd.Field) error
	fallback io.Writer
}

// openJournal connects to the journal. The connection stays open until the process ends.
func openJournal(fallback io.Writer) (journal, error) {
	native, err := systemd.OpenJournal()
	if err != nil {
		return journal{}, err
	}
	return journal{native.Send, fallback}, nil
}

// write implements sink.
func (j journal) write(e *entry) error {
	message, priority := message(e), priority(e.level)
	fields := []systemd.Field{
		{Name: "MESSAGE", Value: message},
		{Name: "PRIORITY", Value: strconv.Itoa(priority)},
		{Name: "SYSLOG_IDENTIFIER", Value: identifier},
	}
	if event, ok := e.fields[EventKey].(Event); ok {
		fields = append(fields, systemd.Field{Name: "MESSAGE_ID", Value: event.MessageID()})
	}
	for key, value := range e.fields {
		fields = append(fields, systemd.Field{Name: fieldName(key), Value: fmt.Sprint(value)})
	}
	err := j.send(fields)
	if err == nil {
		return nil
	}
	prefix := fmt.Sprintf("<%d>", priority)
	lines := strings.ReplaceAll(message, "\n", "\n"+prefix)
	if _, fallbackErr := fmt.Fprintf(j.fallback, "%s%s\n", prefix, lines); fallbackErr != nil {
		return fmt.Errorf("%w; instead of it: %w", err, fallbackErr)
	}
	return nil
}

// fieldName returns the name of the journal field for a key: A to Z, 0 to 9 and underscores.
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

// message formats an entry as the line that journalctl shows: the message, the sorted fields, and the error last.
func message(e *entry) string {
	var b strings.Builder
	b.WriteString(e.message)
	for _, key := range slices.Sorted(maps.Keys(e.fields)) {
		if key == EventKey || key == ErrorKey {
			continue
		}
		if value := fmt.Sprint(e.fields[key]); value == "" || strings.ContainsAny(value, " \"=\n") {
			fmt.Fprintf(&b, " %s=%q", key, value)
		} else {
			fmt.Fprintf(&b, " %s=%s", key, value)
		}
	}
	if err, ok := e.fields[ErrorKey]; ok {
		fmt.Fprintf(&b, ": %v", err)
	}
	return b.String()
}

// priority returns the priority of a level as in syslog(3).
func priority(level Level) int {
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
