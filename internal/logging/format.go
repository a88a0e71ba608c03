package logging

import (
	"fmt"
	"io"
	"os"

	"github.com/sirupsen/logrus"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/systemd"
)

// timestamp is RFC 3339 with milliseconds.
const timestamp = "2006-01-02T15:04:05.000Z07:00"

// New makes a logger. The formats "text" and "json" write to w. "journal" writes to the journal, and to w if that fails.
// "auto" is "journal" if w is standard error, is connected to the journal, and the journal can be opened; otherwise it is
// "text", with colours if w is a terminal.
func New(w io.Writer, c config.Log) (*Logger, error) {
	level, err := parseLevel(c.Level)
	if err != nil {
		return nil, err
	}
	to, err := sinkFor(w, c.Format)
	if err != nil {
		return nil, fmt.Errorf("log format %w", err)
	}
	return newLogger(to, level), nil
}

func parseLevel(name string) (Level, error) {
	level, err := logrus.ParseLevel(name)
	if err != nil {
		return 0, fmt.Errorf("log level: %w", err)
	}
	return level, nil
}

func sinkFor(w io.Writer, format string) (sink, error) {
	switch format {
	case "auto":
		if w == os.Stderr && systemd.StderrIsJournal() {
			if to, err := openJournal(w); err == nil {
				return to, nil
			}
		}
		return newLines(w, &logrus.TextFormatter{FullTimestamp: true, TimestampFormat: timestamp}), nil
	case "text":
		return newLines(w, &logrus.TextFormatter{FullTimestamp: true, TimestampFormat: timestamp}), nil
	case "journal":
		to, err := openJournal(w)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		return to, nil
	case "json":
		return newLines(w, &logrus.JSONFormatter{TimestampFormat: timestamp}), nil
	}
	return nil, fmt.Errorf("%q: must be auto, journal, text or json", format)
}

// lines is a sink that writes lines.
type lines struct {
	formatter logrus.Formatter
	logger    *logrus.Logger // lets the formatter check whether w is a terminal; nothing is logged to it
	to        io.Writer
	broken    bool // the last line was written in part
}

func newLines(w io.Writer, formatter logrus.Formatter) *lines {
	logger := logrus.New()
	logger.SetOutput(w)
	return &lines{formatter: formatter, logger: logger, to: w}
}

// write implements sink.
func (l *lines) write(e *entry) error {
	text, err := l.formatter.Format(e.logrus(l.logger))
	if err != nil {
		return fmt.Errorf("format a log entry: %w", err)
	}
	if l.broken {
		text = append([]byte{'\n'}, text...)
	}
	n, err := l.to.Write(text)
	if n > 0 {
		l.broken = n < len(text)
	}
	return err
}

func (e *entry) logrus(logger *logrus.Logger) *logrus.Entry {
	return &logrus.Entry{Logger: logger, Time: e.time, Level: e.level, Message: e.message, Data: logrus.Fields(e.fields)}
}
