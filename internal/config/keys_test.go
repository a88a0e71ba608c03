package config

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// Every key is documented, and every text belongs to a key.
func TestKeysAreDocumented(t *testing.T) {
	paths := map[string]bool{}
	for _, k := range Keys() {
		paths[k.Path] = true
		if !strings.HasSuffix(k.Doc, ".") || k.Type == "" {
			t.Errorf("%s: type %q, doc %q", k.Path, k.Type, k.Doc)
		}
	}
	for path := range docs {
		if !paths[path] {
			t.Errorf("docs has %s, which is no key", path)
		}
	}
	for _, path := range requiredKeys {
		if !paths[path] {
			t.Errorf("requiredKeys has %s, which is no key", path)
		}
	}
}

func TestKeys(t *testing.T) {
	keys := map[string]Key{}
	var order []string
	for _, k := range Keys() {
		keys[k.Path] = k
		k.Doc = ""
		if !strings.HasPrefix(k.Path, "defaults.") {
			order = append(order, k.Path)
		}
	}
	wantOrder := "max_workers engine drain_timeout reload log log.level log.format log.sessions admin admin.listen defaults apps apps[].name apps[].ports apps[].targets " +
		"apps[].targets[].address apps[].targets[].weight apps[].targets[].backup apps[].targets[].max_sessions apps[].targets[].down " +
		"apps[].balance apps[].connect_timeout apps[].connect_attempts apps[].retry_dead_after apps[].idle_timeout apps[].half_close_timeout " +
		"apps[].max_session_duration apps[].keepalive apps[].keepalive.idle apps[].keepalive.interval apps[].keepalive.count " +
		"apps[].allow apps[].deny apps[].max_sessions apps[].max_sessions_per_source apps[].sessions_per_second apps[].sessions_per_second_per_source " +
		"apps[].bytes_per_second apps[].bytes_per_second.upload apps[].bytes_per_second.download " +
		"apps[].accept_proxy_protocol apps[].accept_proxy_protocol.from apps[].accept_proxy_protocol.timeout apps[].send_proxy_protocol apps[].source_address " +
		"apps[].probe apps[].probe.when apps[].probe.interval apps[].probe.timeout apps[].probe.rise apps[].probe.fall apps[].probe.port " +
		"apps[].probe.send apps[].probe.expect apps[].probe.http apps[].probe.http.path apps[].probe.http.status apps[].on_dead"
	if got := strings.Join(order, " "); got != wantOrder {
		t.Errorf("got  %s\nwant %s", got, wantOrder)
	}
	for _, want := range []Key{
		{Path: "max_workers", Type: "whole number", Default: "50", Range: "1 to 1000000"},
		{Path: "engine", Type: "string", Default: `"loop"`, Range: `"loop" or "copy"`},
		{Path: "drain_timeout", Type: "duration", Default: `"0s"`, Range: "0s to 8760h"},
		{Path: "log", Type: "object"},
		{Path: "log.level", Type: "string", Default: `"info"`, Range: `"trace", "debug", "info", "warning" or "error"`},
		{Path: "log.sessions", Type: "true, false or whole number", Default: "true", Range: "1 to 1000000"},
		{Path: "defaults.keepalive.idle", Type: "duration", Default: `"1m"`, Range: "1s to 32767s in steps of 1s"},
		{Path: "apps", Type: "list of objects", Required: true},
		{Path: "apps[].name", Type: "string", Range: nameText},
		{Path: "apps[].ports", Type: "list of ports", Range: portForms, Required: true},
		{Path: "apps[].targets[].weight", Type: "whole number", Default: "1", Range: "1 to 256"},
		{Path: "apps[].half_close_timeout", Type: "duration", Default: `"10m"`, Range: "0s to 8760h"},
		{Path: "apps[].keepalive", Type: "true, false or object", Default: "true"},
		{Path: "admin.listen", Type: "list of addresses", Default: "[]", Range: adminForms},
		{Path: "apps[].allow", Type: "list of networks", Default: "[]", Range: networkForms},
		{Path: "defaults.bytes_per_second.upload", Type: "whole number", Default: "0", Range: "0 to 100000000000"},
		{Path: "apps[].accept_proxy_protocol", Type: "false or object", Default: "false"},
		{Path: "defaults.accept_proxy_protocol.from", Type: "list of networks", Range: networkForms},
		{Path: "apps[].send_proxy_protocol", Type: "string", Default: `""`, Range: `"", "v1" or "v2"`},
		{Path: "apps[].source_address", Type: "IP address", Default: `""`, Range: sourceForms},
		{Path: "apps[].probe", Type: "object"},
		{Path: "apps[].probe.send", Type: "string", Default: `""`, Range: "0 to 4096 bytes"},
		{Path: "apps[].probe.http", Type: "false or object", Default: "false"},
		{Path: "defaults.probe.http.path", Type: "string", Default: `"/"`, Range: httpPathText},
		{Path: "apps[].probe.http.status", Type: "string", Default: `"200-399"`, Range: statusForms},
	} {
		got := keys[want.Path]
		got.Doc = ""
		if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

// The schema has every key, with its text, default and range.
func TestKeysAreInSchema(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		node := propertyAt(t, root, k.Path)
		if node == nil {
			t.Errorf("%s is not in the schema", k.Path)
			continue
		}
		if node["description"] != k.Doc {
			t.Errorf("%s: description %q, doc %q", k.Path, node["description"], k.Doc)
		}
		if value, ok := node["default"]; ok || k.Default != "" {
			if got, err := json.Marshal(value); err != nil || string(got) != k.Default {
				t.Errorf("%s: default %s, want %s", k.Path, got, k.Default)
			}
		}
		if node["type"] == "integer" && (node["minimum"] == nil || node["maximum"] == nil) {
			t.Errorf("%s: no range", k.Path)
		}
	}
}

// propertyAt returns the schema of the key at a path such as apps[].keepalive.idle.
func propertyAt(t *testing.T, node map[string]any, path string) map[string]any {
	t.Helper()
	for _, key := range strings.Split(path, ".") {
		key, list := strings.CutSuffix(key, "[]")
		node, _ = objectForm(node)["properties"].(map[string]any)[key].(map[string]any)
		if list {
			node, _ = node["items"].(map[string]any)
		}
		if node == nil {
			return nil
		}
	}
	return node
}

// objectForm returns the alternative of a union that has properties.
func objectForm(node map[string]any) map[string]any {
	forms, _ := node["anyOf"].([]any)
	for _, form := range forms {
		if form := form.(map[string]any); form["properties"] != nil {
			return form
		}
	}
	return node
}

// The built-in defaults obey the rules of their keys.
func TestDefaultsAreInRange(t *testing.T) {
	var check func([]entry)
	check = func(entries []entry) {
		for _, e := range entries {
			switch v := e.value.(type) {
			case int:
				if !e.rule.allows(int64(v)) {
					t.Errorf("%s: %d", e.path, v)
				}
			case time.Duration:
				if !e.rule.allows(int64(v)) {
					t.Errorf("%s: %v", e.path, v)
				}
			case string:
				if _, ok := e.rule.choice(v); !ok && (len(e.rule.enum) > 0 || !e.rule.allows(int64(len(v)))) {
					t.Errorf("%s: %q", e.path, v)
				}
			}
			check(e.children)
		}
	}
	check(entries())
}

func TestFormatDuration(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0s", "10s": "10s", "10m": "10m", "60s": "1m", "1h": "1h", "90m": "1h30m", "3601s": "1h0m1s", "1500ms": "1.5s", "1ms": "1ms",
		"8760h": "8760h", "610s": "10m10s", "20m": "20m",
	} {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		got := FormatDuration(d)
		back, err := time.ParseDuration(got)
		if got != want || err != nil || back != d {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
