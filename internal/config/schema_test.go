package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tailscale/hujson"
)

// beyondSchema lists the files of testdata/invalid whose only faults are rules that a JSON Schema cannot express, with
// the reason.
var beyondSchema = map[string]string{
	"accept-proxy-protocol-in-defaults":  "what is missing may stand in the defaults",
	"accept-proxy-protocol-without-from": "what is missing may stand in the defaults",
	"admin-taken-by-port":                "ports are compared between elements",
	"duplicate-key":                      "a schema sees one value a key",
	"duration-out-of-range":              "a pattern does not compare durations",
	"keepalive-whole-seconds":            "a pattern does not compare durations",
	"link-local-without-zone":            "a pattern does not know the kinds of IPv6 addresses",
	"max-session-duration":               "a pattern does not compare durations",
	"name-cannot-be-made":                "a default is made of another value",
	"name-taken":                         "names are compared between apps",
	"name-taken-by-default":              "names are compared between apps",
	"network-bits-beyond-prefix":         "a pattern does not count bits",
	"network-ipv4-in-ipv6":               "a pattern does not know the kinds of IPv6 addresses",
	"number-with-exponent":               "1e3 is an integer to a schema",
	"on-dead-without-probes":             "what an app has depends on the defaults",
	"on-dead-without-probes-in-defaults": "what an app has depends on the defaults",
	"port-taken-by-every-address":        "ports are compared between elements",
	"port-taken-by-every-ipv4-address":   "ports are compared between elements",
	"port-taken-by-itself":               "5001 and \"5001\" are different values",
	"port-taken-by-other-app":            "ports are compared between elements",
	"port-taken-for-every-address":       "ports are compared between elements",
	"port-taken-as-mapped-address":       "ports are compared between elements",
	"port-taken-in-range":                "ports are compared between elements",
	"port-taken-unix-path":               "ports are compared between elements",
	"port-taken-systemd-name":            "ports are compared between elements",
	"port-zone":                          "a pattern does not know the kinds of IPv6 addresses",
	"probe-http-and-send":                "what an app has depends on the defaults",
	"probe-http-status-descends":         "a pattern does not compare numbers",
	"source-address-family":              "addresses are compared between keys",
	"source-address-multicast":           "a pattern does not know the kinds of IPv6 addresses",
	"source-address-of-many":             "a pattern does not know the kinds of addresses",
	"source-address-zone":                "a pattern does not know the kinds of IPv6 addresses",
	"target-nobody":                      "a pattern does not know the kinds of addresses",
	"target-srv-name":                    "a pattern does not count the characters of a whole name",
	"target-srv-twice":                   "addresses are compared in their canonical form",
	"target-twice":                       "addresses are compared in their canonical form",
	"too-many-sockets":                   "sockets are counted over all apps",
}

// beyondParse lists the files of testdata/valid that the schema refuses, with the reason.
var beyondParse = map[string]string{
	"keys-in-any-case": "the schema knows the keys in lower case alone",
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	return compiled(t, Schema())
}

func compiled(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// validate applies the schema to a configuration with comments.
func validate(t *testing.T, schema *jsonschema.Schema, data []byte) error {
	t.Helper()
	standard, err := hujson.Standardize(append(bytes.Clone(data), '\n'))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(standard))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(document)
}

// The schema of a file in a directory takes files without apps, and otherwise what the schema of a configuration takes.
func TestDirectorySchema(t *testing.T) {
	whole, file := compiledSchema(t), compiled(t, DirectorySchema())
	for _, text := range []string{`{}`, `{"log": {"level": "debug"}}`, `{"apps": []}`} {
		if validate(t, file, []byte(text)) != nil || validate(t, whole, []byte(text)) == nil {
			t.Errorf("%s: %v as a file of a directory, %v as a configuration", text, validate(t, file, []byte(text)), validate(t, whole, []byte(text)))
		}
	}
	for _, text := range []string{`{"apps": [{}]}`, `{"x": 1}`, `[]`} {
		if validate(t, file, []byte(text)) == nil {
			t.Errorf("%s is a file of a directory", text)
		}
	}
	for name, data := range testFiles(t, "valid") {
		if _, beyond := beyondParse[name]; !beyond && validate(t, file, data) != nil {
			t.Errorf("%s: %v", name, validate(t, file, data))
		}
	}
}

func TestSchemaAcceptsWhatIsValid(t *testing.T) {
	schema := compiledSchema(t)
	files := testFiles(t, "valid")
	data, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	files["shipped"] = data
	for name, data := range files {
		err := validate(t, schema, data)
		if _, refused := beyondParse[name]; refused != (err != nil) {
			t.Errorf("%s: the schema says %v", name, err)
		}
	}
}

func TestSchemaRefusesWhatIsInvalid(t *testing.T) {
	schema := compiledSchema(t)
	files := testFiles(t, "invalid")
	for name := range beyondSchema {
		if _, ok := files[name]; !ok {
			t.Errorf("%s is listed and does not exist", name)
		}
	}
	for name, data := range files {
		if strings.HasPrefix(name, "syntax-") {
			continue // no document to validate
		}
		err := validate(t, schema, data)
		if _, accepted := beyondSchema[name]; accepted != (err == nil) {
			t.Errorf("%s: the schema says %v", name, err)
		}
	}
}

// The pattern and the parser agree on each single element.
func TestPatternsAgreeWithParsers(t *testing.T) {
	schema := compiledSchema(t)
	agree := func(t *testing.T, value, ports, targets string, beyond map[string]bool) {
		t.Helper()
		data := []byte(appOf(`"name": "a", "ports": [` + ports + `], "targets": [` + targets + `]`))
		_, parsed := Parse("f", data)
		valid := validate(t, schema, data)
		if (parsed == nil) != (valid == nil) && !(beyond[value] && valid == nil) {
			t.Errorf("%s: parser says %v, schema says %v", value, parsed, valid)
		}
	}
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	hosts := []string{"", "*", "a", "-a", "a-", "a_b", "A.b", "a..b", "a.", ".", "1.2.3", "127.0.0.1", "127.0.0.256", "0.0.0.0", "01.2.3.4",
		"[::1]", "[::]", "[fe80::1%eth0]", "[::1", "::1", "[a]", "[127.0.0.1]", "[::ffff:1.2.3.4]", "[1:2:3]", strings.Repeat("a", 63), strings.Repeat("a", 64), "é"}
	numbers := []string{"", "0", "1", "9", "10", "99", "999", "9999", "59999", "60000", "65535", "65536", "65540", "66000", "70000", "99999", "100000", "080",
		"-1", "+1", "1.0", "1-2", "2-1", "1-1", "1-65535", "1-65536", " 1", "80 ", "http"}
	paths := []string{"unix:", "unix:a", "unix:/", "unix:/a", "unix:/a/", "unix:/a b\n", "unix:/a\x00", "unix:/" + strings.Repeat("a", 106), "unix:/" + strings.Repeat("a", 107), "Unix:/a",
		"systemd:", "systemd:web", "systemd:a b", "systemd:a:b", "systemd:a\n", "systemd:é", "systemd:" + strings.Repeat("a", 255), "systemd:" + strings.Repeat("a", 256),
		"srv:_web._tcp.a", "srv:_web._tcp.a.b.", "srv:_web._udp.a:80", "srv:_w-b._t_p.a", "srv:_web._tcp", "srv:_web.tcp.a", "srv:web._tcp.a", "srv:_._tcp.a",
		"srv:_web-._tcp.a", "srv:_web._tcp.é", "srv:_" + strings.Repeat("a", 62) + "._tcp.a", "srv:_" + strings.Repeat("a", 63) + "._tcp.a", "Srv:_web._tcp.a"}
	values := append([]string{}, paths...)
	for _, host := range hosts {
		for _, number := range numbers {
			values = append(values, host+":"+number, host+number)
		}
	}
	// A pattern cannot check that digits form an address, that an address can be a target, and the order of a
	// range.
	beyond := map[string]bool{}
	for _, value := range values {
		beyond[value] = strings.HasPrefix(value, "[1:2:3]:") || strings.HasPrefix(value, "1.2.3:") || strings.HasPrefix(value, "127.0.0.256:") ||
			strings.HasPrefix(value, "01.2.3.4:") || strings.HasPrefix(value, "0.0.0.0:") || strings.HasPrefix(value, "[::]:") || strings.HasSuffix(value, "2-1")
	}
	for _, value := range values {
		agree(t, value, quoted(value), `"a:1"`, beyond)
		agree(t, value, `1`, quoted(value), beyond)
		agree(t, value, `1`, `{"address": `+quoted(value)+`}`, beyond)
	}
	for _, value := range []string{"", "0", "+0", "-0", "5", "5s", "+5s", "-5s", ".5s", "5.s", "1.5s", ".s", "1h30m", "1h 30m", "5S", "1d", "1µs", "1μs", "1us", "1ns", "s", "1e3s"} {
		data := []byte(appOf(`"ports": [1], "targets": ["a:1"], "idle_timeout": ` + quoted(value)))
		_, parsed := Parse("f", data)
		if valid := validate(t, schema, data); (parsed == nil) != (valid == nil) {
			t.Errorf("%q: parser says %v, schema says %v", value, parsed, valid)
		}
	}
	for format, values := range map[string][]string{
		`{"admin": {"listen": [%s]}, "apps": [{"ports": [1], "targets": ["a:1"]}]}`: {
			"127.0.0.1:2", "[::1]:65535", "0.0.0.0:80", ":80", "80", "*:80", "a:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:1-2", "unix:/a", "unix:a", "systemd:a",
		},
		appOf(`"ports": [1], "targets": ["a:1"], "deny": [%s]`): {
			"", "0.0.0.0/0", "::/0", "10.0.0.1", "10.0.0.0/8", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/", "010.0.0.0/8", "::1", "fd00::/128", "fd00::/129", "fd00::/99", "[::1]",
			"fe80::1%eth0", "a", "10.0.0.0/255.0.0.0", "10.0.0.1/32", "::/00",
		},
		appOf(`"ports": [1], "targets": ["a:1"], "source_address": %s`): {
			"", "10.0.0.1", "10.0.0.256", "fd00::1", "[fd00::1]", "fe80::1%eth0", "fe80::1%", "fe80::1%a]", "::ffff:10.0.0.1", "a", "10.0.0.1:0", "10.0.0.1/8",
		},
		appOf(`"ports": [1], "targets": ["a:1"], "probe": {"send": %s}`): {
			"", "a\r\n\x00é", `\x00`, `\xfF`, `\xf`, `\xfg`, `\\`, `\`, `\\\`, `\n`, `\\x`, `a\x41b`, `\X41`,
		},
		appOf(`"ports": [1], "targets": ["a:1"], "probe": {"http": {"path": %s}}`): {
			"", "/", "a", "/a?b=%20&c", "/a b", "/#", "/é", "/\n", "/" + strings.Repeat("a", 999), "/" + strings.Repeat("a", 1000), `/"`,
		},
		appOf(`"ports": [1], "targets": ["a:1"], "probe": {"http": {"status": %s}}`): {
			"", "100", "599", "099", "99", "600", "1000", "200-399", "200-200", "200-", "-200", "200 - 399", "200-600", "2xx",
		},
	} {
		for _, value := range values {
			data := []byte(fmt.Sprintf(format, quoted(value)))
			_, parsed := Parse("f", data)
			if valid := validate(t, schema, data); (parsed == nil) != (valid == nil) {
				t.Errorf("%s: parser says %v, schema says %v", data, parsed, valid)
			}
		}
	}
}

// The schema and the decoder require the same keys.
func TestSchemaRequiresWhatParseRequires(t *testing.T) {
	schema := compiledSchema(t)
	for _, data := range []string{
		`{}`, `{"apps": [{"ports": [1], "targets": ["a:1"]}]}`, `{"apps": [{"ports": [1]}]}`, `{"apps": [{"targets": ["a:1"]}]}`,
		`{"apps": [{"ports": [1], "targets": [{}]}]}`, `{"apps": [{"ports": [1], "targets": [{"address": "a:1"}]}]}`,
		`{"apps": [{"ports": [], "targets": ["a:1"]}]}`, `{"apps": [{"ports": [1], "targets": []}]}`, `{"apps": []}`,
	} {
		_, parsed := Parse("f", []byte(data))
		if valid := validate(t, schema, []byte(data)); (parsed == nil) != (valid == nil) {
			t.Errorf("%s: parser says %v, schema says %v", data, parsed, valid)
		}
	}
}
