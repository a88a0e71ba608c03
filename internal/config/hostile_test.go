package config

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile returns files of about size bytes, each made to cost the parser as much as possible.
func hostile(size int) map[string]string {
	repeat := func(before, each, after string) string {
		return before + strings.Repeat(each, (size-len(before)-len(after))/len(each)) + after
	}
	numbered := func(before, each, after string) string {
		var b strings.Builder
		b.WriteString(before)
		for i := 0; b.Len() < size-len(each)-len(after)-10; i++ {
			fmt.Fprintf(&b, each, i)
		}
		return b.String() + after
	}
	const app, targets = `{"apps": [{"targets": ["a:1"], "ports": [1], `, `{"apps": [{"ports": [1], "targets": [`
	return map[string]string{
		"deep arrays":       repeat("", "[", ""),
		"deep objects":      repeat("", `{"a":`, ""),
		"new lines":         repeat("", "\n", "{}"),
		"block comments":    repeat("", "/**/", "{}"),
		"line comments":     repeat("", "//\n", "{}"),
		"an open comment":   repeat("/*", "/*", ""),
		"an open string":    repeat(`"`, "a", ""),
		"slashes":           repeat("", "/ ", ""),
		"one word":          repeat("", "a", ""),
		"numbers":           repeat("[", "1,", "]"),
		"many digits":       repeat(`{"max_workers": `, "1", "}"),
		"more digits":       repeat(app+`"max_sessions": `, "1", "}]}"),
		"unknown keys":      repeat("{", `"max_work":1,`, "}"),
		"short keys":        repeat("{", `"x":1,`, "}"),
		"one long key":      repeat(`{"`, "a", `": 1}`),
		"a key of emoji":    repeat(`{"`, "\U0001F600", `": 1}`),
		"duplicate apps":    repeat("{", `"apps":[],`, "}"),
		"duplicate names":   repeat(app, `"name":"a",`, "}]}"),
		"empty apps":        repeat(`{"apps": [`, "{},", "]}"),
		"many apps":         numbered(`{"apps": [`, `{"ports":[%d],"targets":["a:1"]},`, "]}"),
		"bad ports":         repeat(`{"apps": [{"targets": ["a:1"], "ports": [`, "0,", "]}]}"),
		"ranges":            repeat(`{"apps": [{"targets": ["a:1"], "ports": [`, `"1-65535",`, "]}]}"),
		"ranges of apps":    repeat(`{"apps": [`, `{"targets":["a:1"],"ports":["1-65535"]},`, "]}"),
		"bad targets":       repeat(targets, `"",`, "]}]}"),
		"targets":           numbered(targets, `"a:%d",`, "]}]}"),
		"objects":           numbered(targets, `{"address":"a:%d","x":0},`, "]}]}"),
		"networks":          repeat(app+`"allow": [`, `"::/0",`, "]}]}"),
		"bad networks":      numbered(app+`"allow": [`, `"10.0.0.0/%d",`, "]}]}"),
		"a long name":       repeat(app+`"name": "`, "a", `"}]}`),
		"a long duration":   repeat(app+`"idle_timeout": "`, "1x", `"}]}`),
		"a long host":       repeat(targets+`"`, "a.", `:1"]}]}`),
		"a long SRV name":   repeat(targets+`"srv:_a._b.`, "a.", `"]}]}`),
		"a long zone":       repeat(targets+`"[fe80::1%`, "a", `]:1"]}]}`),
		"no brackets":       repeat(targets+`"fe80::1%`, "a", `:1"]}]}`),
		"a long path":       repeat(targets+`"unix:/`, "a/", `"]}]}`),
		"bytes":             repeat(app+`"probe": {"send": "`, `\\x00`, `"}}]}`),
		"bytes of JSON":     repeat(app+`"probe": {"send": "`, `\u0000`, `"}}]}`),
		"a long HTTP path":  repeat(app+`"probe": {"http": {"path": "/`, "a", `"}}}]}`),
		"not UTF-8":         repeat("", "é", "\xff"),
		"a control, a text": repeat(`{"apps": "`, "\x01", `"}`),
	}
}

// For any content, the cost of parsing is bounded by the size of the file, and so are the errors.
func TestHostileFiles(t *testing.T) {
	const size = MaxSize / 32 // a quarter of MaxSize takes half a minute with the race detector
	for name, text := range hostile(size) {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse("f.json", []byte(text))
			runtime.ReadMemStats(&after)
			const most = 160 << 20 // a tree of a quarter of a million values that grew by doubling
			if took := after.TotalAlloc - before.TotalAlloc; took > most {
				t.Errorf("took %d MiB of memory", took>>20)
			}
			checkBounds(t, err)
		})
	}
}

// checkBounds checks that err is Errors, at most MaxErrors and one, each one line of bounded length.
func checkBounds(t *testing.T, err error) {
	t.Helper()
	var errs Errors
	if !errors.As(err, &errs) || len(errs) == 0 || len(errs) > MaxErrors+1 {
		t.Fatalf("%d errors: %.200v", len(errs), err)
	}
	for i, e := range errs {
		if text := e.Error(); len(text) > 2*maxText || !utf8.ValidString(text) || strings.ContainsAny(text, "\n\x1b\x00") {
			t.Errorf("%d bytes: %.200q", len(text), text)
		}
		if e.rest > 0 && i < MaxErrors {
			t.Errorf("error %d says how many follow: %v", i, e)
		}
	}
}

// The limits are exact, to the byte and the value.
func TestLimits(t *testing.T) {
	good := appOf(`"ports": [1], "targets": ["a:1"]`)
	if _, err := Parse("f", []byte(good+strings.Repeat(" ", MaxSize-len(good)))); err != nil {
		t.Error(err)
	}
	if _, err := Parse("f", []byte(good+strings.Repeat(" ", MaxSize-len(good)+1))); err == nil || err.Error() != "f: has 16777217 bytes: a configuration has at most 16 MiB" {
		t.Error(err)
	}
	values := func(n int) string {
		return appOf(`"ports": [1], "targets": ["a:1"], "deny": [` + strings.Repeat(`"::",`, n-13) + `]`)
	}
	for n, want := range map[int]string{
		maxValues:     "f:1:54: apps[0].deny: has 999987 networks: the limit is 10000",
		maxValues + 1: "f:1:4999994: exceeds the limit of 1000000 keys and values",
	} {
		if _, err := Parse("f", []byte(values(n))); err == nil || err.Error() != want {
			t.Errorf("%d values: %v, want %s", n, err, want)
		}
	}
	// Of two errors the first one is reported.
	if _, err := Parse("f", []byte(`{"a" 1}`+values(maxValues+1))); err == nil || err.Error() != "f:1:6: expected ':' after the key, found \"1\"" {
		t.Error(err)
	}
}
