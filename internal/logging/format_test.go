package logging

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
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
		log.Log(Debug, "not this", Fields{"app": "web"})
		log.Warn("it is so", Fields{"app": "web"})
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(out.String(), "\n"); lines != 1 || !check(out.String()) {
			t.Errorf("%s: %s", format, &out)
		}
	}
}

func TestUnknownLevelAndFormat(t *testing.T) {
	for _, c := range []config.Log{{Level: "loud", Format: "text"}, {Level: "info", Format: "xml"}} {
		if _, err := New(&bytes.Buffer{}, c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
