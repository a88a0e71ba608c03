package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcp-proxy/internal/config"
)

// plainer is wording that readers have stumbled over, and what the docs say instead.
var plainer = map[string]string{
	"trial connection":             "half-open trial",
	"trial session":                "half-open trial",
	"as a trial ":                  "as a half-open trial",
	"go before what":               "override",
	"goes before":                  "overrides",
	"out of turn":                  "out of rotation",
	"always have theirs":           "are always logged",
	"as it stands":                 "by default",
	"mind the weights":             "honour the weights",
	"minds the weights":            "honours the weights",
	"taken as he is":               "accepted without a header",
	"are not for them":             "do not apply to them",
	"it serves on":                 "it keeps serving",
	"serves on,":                   "keeps serving,",
	"followed by a new start":      "after a failure systemd restarts it",
	"read its configuration again": "re-read its configuration",
	"told to /api":                 "POST /api/…",
	"what moves the bytes":         "loop or copy",
	"is told of":                   "receives",
	"the target stands":            "the connection is established",
}

// Texts for users have none of the wording that readers have stumbled over: docs, manuals, catalog, units, alerts, the shipped
// configuration, the keys, and the sources of the command line.
func TestDocsSayItPlainly(t *testing.T) {
	texts := map[string]string{}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../packaging/man/*", "../packaging/systemd/*", "../packaging/prometheus/*",
		"../packaging/grafana/*", "../etc/tcp-proxy/*", "../cmd/tcp-proxy/*.go", "../internal/config/docs.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts[file] = string(data)
		}
	}
	for _, key := range config.Keys() {
		texts["the key "+key.Path] = key.Doc
	}
	for name, text := range texts {
		text = strings.ToLower(strings.Join(strings.Fields(text), " "))
		for odd, plain := range plainer {
			if strings.Contains(text, odd) {
				t.Errorf("%s says %q: write %q", name, odd, plain)
			}
		}
	}
}
