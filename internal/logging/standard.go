package logging

import (
	"log"
	"strings"
	"time"
)

// library limits the lines that libraries log.
var library = Kind{Name: "library", Burst: 10, Every: 10 * time.Second, Total: 10, Keys: 16}

// Standard returns a logger of package log whose lines become entries, for a library that takes one. The lines begin with
// name.
func (l *Logger) Standard(name string) *log.Logger { return log.New(&standard{l, name}, "", 0) }

// TakeStandard makes the lines of the default logger of package log entries, for libraries that write there. Otherwise they
// would go to standard error, and block with it.
func (l *Logger) TakeStandard() {
	log.SetFlags(0)
	log.SetOutput(&standard{l, "library"})
}

// standard is a writer of lines of package log.
type standard struct {
	log  *Logger
	name string
}

// Write implements io.Writer.
func (s *standard) Write(line []byte) (int, error) {
	s.log.Throttled(library, s.name, Warn, s.name+": "+strings.TrimSpace(string(line)), nil)
	return len(line), nil
}
