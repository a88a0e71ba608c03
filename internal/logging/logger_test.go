package logging

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

// stallable is a log that can block or fail.
type stallable struct {
	gate gate // locked: writing blocks

	mu     sync.Mutex // guards what follows
	broken error
	room   int // bytes that are written before it fails
	buf    bytes.Buffer
}

// gate is a mutex on which a goroutine is durably blocked (package synctest). The zero value is open.
type gate struct{ shut atomic.Pointer[chan struct{}] }

func (g *gate) Lock() {
	shut := make(chan struct{})
	g.shut.Store(&shut)
}

func (g *gate) Unlock() { close(*g.shut.Swap(nil)) }

func (g *gate) pass() {
	if shut := g.shut.Load(); shut != nil {
		<-*shut
	}
}

func (s *stallable) Write(p []byte) (int, error) {
	s.gate.pass()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		return s.buf.Write(p)
	}
	n := min(s.room, len(p))
	s.room -= n
	s.buf.Write(p[:n])
	return n, s.broken
}

func (s *stallable) set(broken error, room int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken, s.room = broken, room
}

func (s *stallable) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Split(strings.TrimSuffix(s.buf.String(), "\n"), "\n")
}

func start(t *testing.T, w *stallable) *Logger {
	t.Helper()
	log, err := New(w, config.Log{Level: "info", Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestEntriesHaveTheirOrderAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		w.gate.Lock()
		log.Log(Debug, "not this", nil)
		log.Log(Info, "first", Fields{"app": "web"})
		said := time.Now().Format(timestamp)
		log.Warn("second", nil)
		time.Sleep(time.Second)
		w.gate.Unlock()
		if err := log.SetLevel("debug"); err != nil || !log.Enabled(Debug) {
			t.Errorf("level: %v", err)
		}
		if log.SetLevel("loud") == nil {
			t.Error("there is no such level")
		}
		log.Log(Debug, "third", nil)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		log.Info("after Close", nil)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		lines := w.lines()
		if len(lines) != 3 {
			t.Fatalf("%d lines:\n%s", len(lines), &w.buf)
		}
		for i, want := range [][]string{{"first", `"app":"web"`, said}, {"second", said}, {"third", "debug"}} {
			for _, part := range want {
				if !strings.Contains(lines[i], part) {
					t.Errorf("%s lacks %s", lines[i], part)
				}
			}
		}
	})
}

// A blocked log blocks no caller of Log, and Close only for a bounded time.
func TestABlockedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		w.gate.Lock()
		const more = 100
		for range queueLength + more { // would never end if it waited
			log.Info("entry", nil)
		}
		if n, problem := log.Lost(); n == 0 || problem != errTooSlow {
			t.Errorf("at once: %d lost, %v", n, problem)
		}
		time.Sleep(time.Minute)
		if _, problem := log.Lost(); problem == nil || !strings.Contains(problem.Error(), "no entry for 1m0s") {
			t.Errorf("after a minute: %v", problem)
		}
		begun := time.Now()
		if err := log.Close(); !errors.Is(err, ErrStalled) {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(begun); took != flushTimeout {
			t.Errorf("Close took %v", took)
		}
		w.gate.Unlock()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		// The goroutine may have taken one entry out of the queue before it was full.
		got := w.buf.String()
		if n := strings.Count(got, `"msg":"entry"`); n != queueLength && n != queueLength+1 {
			t.Errorf("%d entries written", n)
		}
		if strings.Count(got, "left out") != 1 || !strings.Contains(got, `"left_out":100`) && !strings.Contains(got, `"left_out":99`) {
			t.Errorf("the number of entries left out is not logged")
		}
		if n, problem := log.Lost(); n != more && n != more-1 || problem != nil {
			t.Errorf("%d are counted as lost, %v", n, problem)
		}
	})
}

// slow is a log that takes a time for each entry.
type slow struct{ time.Duration }

func (s slow) Write(p []byte) (int, error) {
	time.Sleep(s.Duration)
	return len(p), nil
}

func TestCloseWaitsForProgress(t *testing.T) {
	for _, c := range []struct {
		each    time.Duration
		entries int
		took    time.Duration
		err     error
	}{
		{900 * time.Millisecond, 3, 2700 * time.Millisecond, nil},
		{900 * time.Millisecond, 100, flushMost, ErrStalled},
		{1100 * time.Millisecond, 3, flushTimeout, ErrStalled},
	} {
		synctest.Test(t, func(t *testing.T) {
			log, err := New(slow{c.each}, config.Log{Level: "info", Format: "text"})
			if err != nil {
				t.Fatal(err)
			}
			for range c.entries {
				log.Info("entry", nil)
			}
			begun := time.Now()
			if err := log.Close(); err != c.err || time.Since(begun) != c.took {
				t.Errorf("%d entries of %v: %v after %v", c.entries, c.each, err, time.Since(begun))
			}
			<-log.done
		})
	}
}

// While the disk is full, entries are lost. Their number is logged when writing succeeds again, on a line of its own.
func TestABrokenLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		w.set(syscall.ENOSPC, 10)
		for range 5 {
			log.Info("lost", nil)
		}
		synctest.Wait()
		n, problem := log.Lost()
		if n != 5 || !errors.Is(problem, syscall.ENOSPC) {
			t.Errorf("%d lost, %v", n, problem)
		}
		time.Sleep(time.Second)
		w.set(nil, 0)
		log.Info("written", nil)
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		lines := w.lines()
		if len(lines) != 3 || len(lines[0]) != 10 || !strings.Contains(lines[1], `"msg":"written"`) ||
			!strings.Contains(lines[2], `"left_out":5`) || !strings.Contains(lines[2], "no space left on device") {
			t.Errorf("written:\n%s", strings.Join(lines, "\n"))
		}
		if n, problem := log.Lost(); n != 5 || problem != nil {
			t.Errorf("%d lost, %v", n, problem)
		}
	})
}

// Records of sessions leave room in the queue for other entries.
func TestRecordsLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		w.gate.Lock()
		for range 2 * queueLength {
			log.Record(Info, "session ended", nil)
		}
		for range (queueLength - queueRecords) / 2 {
			log.Warn("target is dead", nil)
		}
		w.gate.Unlock()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(w.buf.String(), "target is dead"); n != (queueLength-queueRecords)/2 {
			t.Errorf("%d warnings", n)
		}
	})
}

// The queue is bounded in bytes, too. Each text of an entry is one line of bounded length.
func TestTextsAreBounded(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var w stallable
		log, err := New(&w, config.Log{Level: "info", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("x", 1<<20)
		log.Info("a\x1b[2Jb\nc"+long, Fields{
			"text": "d\ne" + long, ErrorKey: errors.New("f\u202eg" + long), "other": []string{"h\ni" + long},
			"n": int64(1) << 60, "yes": true, EventKey: TargetDead, "nothing": nil,
		})
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		got := w.buf.String()
		if len(got) > 2*(mostMessage+3*mostField) || strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\x1b\u202e") {
			t.Errorf("%s: %d bytes: %.200q", format, len(got), got)
		}
		if !strings.Contains(got, "1152921504606846976") || !strings.Contains(got, "target_dead") {
			t.Errorf("%s: %s", format, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		w.gate.Lock()
		for range queueLength {
			fields := Fields{}
			for i := range 10 {
				fields[fmt.Sprint(i)] = strings.Repeat("x", mostField)
			}
			log.Warn("long", fields)
		}
		if got := log.bytes.Load(); got > queueBytes || got < queueBytes/2 {
			t.Errorf("%d bytes are queued", got)
		}
		w.gate.Unlock()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if got := log.bytes.Load(); got != 0 {
			t.Errorf("%d bytes are queued when all is written", got)
		}
	})
}

// The lines of package log go through the same queue.
func TestStandardLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		w.gate.Lock()
		for range 2 * library.Burst {
			log.Standard("admin").Printf("http: %s", "a\nb")
		}
		w.gate.Unlock()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		lines := w.lines()
		if len(lines) != library.Burst+1 || !strings.Contains(lines[0], `"msg":"admin: http: a\\nb"`) ||
			!strings.Contains(lines[library.Burst], fmt.Sprintf(`"left_out":%d`, library.Burst-1)) {
			t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
		}
	})
}

func TestDiscard(t *testing.T) {
	log := Discard()
	log.Error("nobody reads this", nil)
	if err := log.Close(); err != nil || log.Enabled(Error) {
		t.Error(err)
	}
}
