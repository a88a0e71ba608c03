// Package logging sets up logrus: where log entries go, as what, and how often the same one may come.
package logging

import (
	"fmt"
	"io"

	"github.com/sirupsen/logrus"

	"tcp-proxy/internal/config"
)

// timestamp is RFC 3339 with milliseconds.
const timestamp = "2006-01-02T15:04:05.000Z07:00"

// New makes a logger that writes to w as c says. The format "auto" is text, with colours when w is a terminal.
func New(w io.Writer, c config.Log) (*logrus.Logger, error) {
	level, err := logrus.ParseLevel(c.Level)
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	log := logrus.New()
	log.SetOutput(w)
	log.SetLevel(level)
	switch c.Format {
	case "auto", "text":
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: timestamp})
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{TimestampFormat: timestamp})
	default:
		return nil, fmt.Errorf("log format: %q is none of auto, text and json", c.Format)
	}
	return log, nil
}
