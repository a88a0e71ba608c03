package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

func TestFormats(t *testing.T) {
	for format, check := range map[string]func(string) bool{
		"text": func(s string) bool { return strings.Contains(s, `level=warning msg="it is so" app=web`) },
		"auto": func(s string) bool { return strings.Contains(s, `level=warning msg="it is so" app=web`) },
		"json": func(s string) bool {
			var entry map[string]string
			err := json.Unmarshal([]byte(s), &entry)
			_, timeErr := time.Parse(time.RFC3339, entry["time"])
			return err == nil && timeErr == nil && entry["level"] == "warning" && entry["msg"] == "it is so" && entry["app"] == "web"
		},
	} {
		var out bytes.Buffer
		log, err := New(&out, config.Log{Level: "info", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		log.WithField("app", "web").Debug("not this")
		log.WithField("app", "web").Warn("it is so")
		if lines := strings.Count(out.String(), "\n"); lines != 1 || !check(out.String()) {
			t.Errorf("%s: %s", format, &out)
		}
	}
}

func TestWhatItDoesNotKnow(t *testing.T) {
	for _, c := range []config.Log{{Level: "loud", Format: "text"}, {Level: "info", Format: "xml"}} {
		if _, err := New(&bytes.Buffer{}, c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestSparing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSparing(10 * time.Second)
		say := func(kind string, wantLeftOut int, want bool) {
			t.Helper()
			if n, ok := s.pass(kind); ok != want || n != wantLeftOut {
				t.Errorf("%s: %v with %d left out, want %v with %d", kind, ok, n, want, wantLeftOut)
			}
		}
		say("a", 0, true)
		say("b", 0, true)
		for range 3 {
			say("a", 0, false)
		}
		time.Sleep(10 * time.Second)
		say("a", 3, true)
		time.Sleep(10 * time.Second)
		say("a", 0, true)
		for i := range 2 * manyKinds {
			s.pass(fmt.Sprint(i))
		}
		if len(s.kinds) > manyKinds {
			t.Errorf("it remembers %d kinds", len(s.kinds))
		}
		time.Sleep(10 * time.Second)
		say("one more", 0, true) // kinds that are over make room
	})
}
