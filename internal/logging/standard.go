package logging

import (
	"log"
	"strings"
	"time"
)

// library is what libraries log of their own.
var library = Kind{Name: "library", Burst: 10, Every: 10 * time.Second, Total: 10, Keys: 16}

// Standard gives a logger of package log whose lines become entries: for libraries that take one. Name says whose they are.
func (l *Logger) Standard(name string) *log.Logger { return log.New(&standard{l, name}, "", 0) }

// TakeStandard has what is written to the logger that package log begins with become entries, for libraries that write
// there: it would be written to standard error, and wait for that.
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
