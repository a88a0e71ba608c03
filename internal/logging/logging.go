// Package logging sets up logrus: where log entries go, as what, and how often the same one may come. It writes them
// with all their fields to the journal of systemd, where there is one.
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

// New makes a logger that writes to w as c says. The format "journal" writes to the journal, and to w what the journal
// does not take. The format "auto" is "journal" if w is the standard error and that goes to a journal which can be
// opened; else it is text, with colours when w is a terminal.
func New(w io.Writer, c config.Log) (*logrus.Logger, error) {
	level, err := logrus.ParseLevel(c.Level)
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	log := logrus.New()
	log.SetOutput(w)
	log.SetLevel(level)
	switch c.Format {
	case "auto":
		if w == os.Stderr && systemd.StderrIsJournal() && toJournal(log, w) == nil {
			break
		}
		fallthrough
	case "text":
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: timestamp})
	case "journal":
		if err := toJournal(log, w); err != nil {
			return nil, fmt.Errorf("log format journal: %w", err)
		}
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{TimestampFormat: timestamp})
	default:
		return nil, fmt.Errorf("log format: %q is none of auto, journal, text and json", c.Format)
	}
	return log, nil
}

// toJournal makes the logger write to the journal. The connection to it stays open as long as the process runs.
func toJournal(log *logrus.Logger, fallback io.Writer) error {
	native, err := systemd.OpenJournal()
	if err != nil {
		return err
	}
	journal{native.Send, fallback}.install(log)
	return nil
}
