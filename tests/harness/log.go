package harness

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
)

// A Line is one line of the log of a proxy.
type Line struct {
	Raw     string
	Level   string
	Message string
	Fields  map[string]any // all keys; nil if the line is not JSON
}

// Log is what a proxy has written to standard error so far.
type Log struct {
	reading sync.Mutex // held while nobody reads

	// follow sees each line when it comes. A line for which it reports true is not kept. It is called from one goroutine
	// at a time. nil keeps all lines.
	follow func(Line) bool

	mu    sync.Mutex // guards what follows
	text  bytes.Buffer
	begin int // of the first line that is not complete
	lines []Line
	gone  bool
}

func newLog(follow func(Line) bool) *Log { return &Log{follow: follow} }

// Close stops reading the log: at its next line, the process finds that nobody reads its standard error.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
}

// Pause stops reading the log, without closing it: when its pipe is full the process finds that its standard error takes
// no more. The returned function reads on; the end of the process waits for that.
func (l *Log) Pause() (resume func()) {
	l.reading.Lock()
	return l.reading.Unlock
}

// Write receives the output of the process; it fails only after Close.
func (l *Log) Write(data []byte) (int, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return 0, io.ErrClosedPipe
	}
	l.text.Write(data)
	for {
		rest := l.text.Bytes()[l.begin:]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return len(data), nil
		}
		line := parseLine(string(rest[:end]))
		if l.follow != nil && l.follow(line) {
			l.forget(end + 1)
			continue
		}
		l.lines = append(l.lines, line)
		l.begin += end + 1
	}
}

// forget takes the first n bytes behind begin out of the text.
func (l *Log) forget(n int) {
	kept := l.text.Bytes()
	copy(kept[l.begin:], kept[l.begin+n:])
	l.text.Truncate(len(kept) - n)
}

func parseLine(raw string) Line {
	line := Line{Raw: raw}
	if json.Unmarshal([]byte(raw), &line.Fields) == nil {
		line.Level, _ = line.Fields["level"].(string)
		line.Message, _ = line.Fields["msg"].(string)
	}
	return line
}

// Text returns all of it.
func (l *Log) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines returns the lines that match.
func (l *Log) Lines(match func(Line) bool) []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []Line
	for _, line := range l.lines {
		if match(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// Count returns how many lines match.
func (l *Log) Count(match func(Line) bool) int { return len(l.Lines(match)) }

// Len returns the number of lines.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// CountAfter returns how many lines after the first n match. In a long log, that is less work than Count.
func (l *Log) CountAfter(n int, match func(Line) bool) (count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines[n:] {
		if match(line) {
			count++
		}
	}
	return count
}

// Ready matches the line that says that every port listens.
func Ready(line Line) bool { return strings.HasPrefix(line.Message, "ready") }

// Warning matches the warnings and errors that contain the text.
func Warning(text string) func(Line) bool {
	return func(line Line) bool {
		return (line.Level == "warning" || line.Level == "error") && strings.Contains(line.Raw, text)
	}
}
