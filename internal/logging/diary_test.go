package logging

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"tcp-proxy/internal/config"
)

// stallable is a log that can stand still.
type stallable struct {
	gate sync.Mutex // held: it stands still
	buf  bytes.Buffer
}

func (s *stallable) Write(p []byte) (int, error) {
	s.gate.Lock()
	defer s.gate.Unlock()
	return s.buf.Write(p)
}

func newDiary(t *testing.T, w *stallable) *Diary {
	t.Helper()
	log, err := New(w, config.Log{Level: "info", Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	return NewDiary(log, 10*time.Second)
}

func TestDiaryWritesInOrderWithTheTimeOfTheEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		d := newDiary(t, &w)
		d.Log(logrus.DebugLevel, "not this", nil)
		d.Log(logrus.InfoLevel, "first", logrus.Fields{"app": "web"})
		said := time.Now().Format(timestamp)
		for range 3 {
			d.Sparingly("kind", logrus.WarnLevel, "second", logrus.Fields{})
		}
		time.Sleep(10 * time.Second)
		d.Sparingly("kind", logrus.WarnLevel, "third", logrus.Fields{})
		if err := d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.Log(logrus.InfoLevel, "after Close", nil)
		lines := strings.Split(strings.TrimSpace(w.buf.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines:\n%s", len(lines), &w.buf)
		}
		for i, want := range [][]string{{"first", `"app":"web"`, said}, {"second"}, {"third", `"left_out":2`}} {
			for _, part := range want {
				if !strings.Contains(lines[i], part) {
					t.Errorf("%s lacks %s", lines[i], part)
				}
			}
		}
	})
}

func TestDiaryDoesNotWaitForALogThatStandsStill(t *testing.T) {
	var w stallable
	d := newDiary(t, &w)
	w.gate.Lock()
	const more = 100
	for range diaryLength + more { // would never end if it waited
		d.Log(logrus.InfoLevel, "entry", nil)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := d.Close(soon); !errors.Is(err, ErrLogStalled) {
		t.Errorf("Close of a stalled diary: %v", err)
	}
	w.gate.Unlock()
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The goroutine may have taken one entry out of the queue before it was full.
	if got := strings.Count(w.buf.String(), `"msg":"entry"`); got != diaryLength && got != diaryLength+1 {
		t.Errorf("%d entries written", got)
	}
	if got := w.buf.String(); strings.Count(got, "left out") != 1 || !strings.Contains(got, `"left_out":100`) && !strings.Contains(got, `"left_out":99`) {
		t.Errorf("how much was left out is not told")
	}
}
