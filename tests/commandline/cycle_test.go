package commandline

import (
	"fmt"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// Targets to which no connection can go, or which lead back to the proxy, are mistakes of the configuration: check and a
// start refuse them, each with its place.
func TestTargetsThatLeadBack(t *testing.T) {
	r := harness.New(t, "loop")
	one, two, path := r.Address(), r.Address(), r.Path("port.sock")
	text := fmt.Sprintf(`{"apps": [
  {"name": "self", "ports": [%[1]d], "targets": ["10.0.0.1:80", "127.0.0.1:%[1]d", {"address": "[::1]:%[1]d"}, "localhost:%[1]d"]},
  {"name": "one", "ports": [%[2]q], "targets": [%[3]q]},
  {"name": "two", "ports": [%[3]q], "targets": [%[2]q]},
  {"name": "unix", "ports": ["unix:%[4]s"], "targets": ["unix:%[4]s"]}
]}`, r.SharedPort(), one, two, path)
	file := write(t, text)
	wants := []string{
		place(text, `"127.0.0.1`) + `apps[0].targets[1]: 127.0.0.1:`,
		place(text, `{"address"`) + `apps[0].targets[2]: [::1]:`,
		place(text, `"localhost`) + `apps[0].targets[3]: localhost:`,
		place(text, fmt.Sprintf(`%q]},
  {"name": "two"`, two)) + `apps[1].targets[0]: ` + two + ` leads back to this proxy: app "two" listens there, on ` + two + `, and its targets lead back to app "one"`,
		place(text, fmt.Sprintf(`%q]},
  {"name": "unix"`, one)) + `apps[2].targets[0]: ` + one + ` leads back`,
		place(text, `"unix:`+path+`"]}
]`) + `apps[3].targets[0]: unix:` + path + ` leads back to this proxy: app "unix" itself listens there, on unix:` + path,
	}
	for _, command := range both {
		result := harness.Run(t, command, "--config-file", file)
		expect(t, result, exitConfig, `app "self" itself listens there`)
		for _, want := range wants {
			if !strings.Contains(result.Stderr, file+want) {
				t.Errorf("%s does not say %s", command, file+want)
			}
		}
		if found := places(file, result.Stderr); len(found) != len(wants) {
			t.Errorf("%s: %d errors, want %d", command, len(found), len(wants))
		}
		if t.Failed() {
			t.Log(result.Stderr)
		}
	}
}

func TestTargetsOfNobody(t *testing.T) {
	const text = `{"apps": [{"ports": ["127.0.0.1:5001"], "targets": [
  "0.0.0.0:80", "[::]:80", "[::ffff:0.0.0.0]:81", "224.0.0.1:80", "[ff02::1]:80", "255.255.255.255:80", "10.0.0.1:0"
]}]}`
	file := write(t, text)
	for _, command := range both {
		result := harness.Run(t, command, "--config-file", file)
		expect(t, result, exitConfig, "cannot be a target: it is the unspecified address", "multicast", "broadcast")
		if found := places(file, result.Stderr); len(found) != 7 {
			t.Errorf("%s: %d errors, want 7: %s", command, len(found), result.Stderr)
		}
	}
}

// An app may have a port of another app as target, and an address of this machine on which the proxy does not listen.
func TestTargetsThatLeadOn(t *testing.T) {
	file := write(t, `{"apps": [
  {"name": "one", "ports": ["10.0.0.1:5001", "[::1]:5002"], "targets": ["127.0.0.1:5001", "localhost:5002", "127.0.0.1:5003"]},
  {"name": "two", "ports": [5003], "targets": ["10.0.0.1:80", {"address": "127.0.0.1:5003", "down": true}]}
]}`)
	expect(t, harness.Run(t, "check", "--config-file", file), exitClean)
}
