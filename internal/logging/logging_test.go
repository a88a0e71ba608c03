package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

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
		var out bytes.Buffer
		log, err := New(&out, config.Log{Level: "info", Format: "json"})
		if err != nil {
			t.Fatal(err)
		}
		s := NewSparing(10 * time.Second)
		say := func(kind string) string {
			out.Reset()
			s.Log(logrus.NewEntry(log), logrus.WarnLevel, kind, "trouble")
			return out.String()
		}
		if say("a") == "" || say("b") == "" {
			t.Error("the first of a kind is left out")
		}
		for range 3 {
			if say("a") != "" {
				t.Error("the same again at once")
			}
		}
		time.Sleep(10 * time.Second)
		if got := say("a"); !strings.Contains(got, `"left_out":3`) {
			t.Errorf("after the interval: %s", got)
		}
		time.Sleep(10 * time.Second)
		if got := say("a"); got == "" || strings.Contains(got, "left_out") {
			t.Errorf("with none left out: %s", got)
		}
		for i := range 2 * manyKinds {
			say(fmt.Sprint(i))
		}
		if len(s.kinds) > manyKinds {
			t.Errorf("it remembers %d kinds", len(s.kinds))
		}
		time.Sleep(10 * time.Second)
		if say("one more") == "" {
			t.Error("kinds that are over make no room")
		}
	})
}
