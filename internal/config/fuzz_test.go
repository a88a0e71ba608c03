package config

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// For any bytes: no panic; the error is Errors, at most MaxErrors and one, each one line of bounded length, with places in
// the text and in order; an accepted configuration is the same when parsed again, and is within the limits.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"invalid", "valid"} {
		for _, data := range testFiles(f, folder) {
			f.Add(data)
		}
	}
	data, err := os.ReadFile(shipped)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("\uFEFF{}"))
	for _, text := range hostile(4 << 10) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.json", data)
		again, errAgain := Parse("f.json", data)
		if err == nil {
			if diff := cmp.Diff(c, again, sameConfig); diff != "" {
				t.Fatalf("parsed twice:\n%s", diff)
			}
			checkLimits(t, c)
			return
		}
		if errAgain == nil || errAgain.Error() != err.Error() || c != nil {
			t.Fatalf("parsed twice: %v\n%v", err, errAgain)
		}
		var errs Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("not Errors: %#v", err)
		}
		checkBounds(t, err)
		checkPlaces(t, string(data), errs)
	})
}

func checkPlaces(t *testing.T, data string, errs Errors) {
	t.Helper()
	checkPlacesIn(t, "f.json", data, errs)
}

// checkPlacesIn checks the errors of one file.
func checkPlacesIn(t *testing.T, file, data string, errs Errors) {
	t.Helper()
	lines := strings.Split(strings.TrimPrefix(data, "\uFEFF"), "\n")
	last := Error{}
	for _, e := range errs {
		if e.rest > 0 {
			if e.Line != 0 || len(errs) != MaxErrors+1 {
				t.Fatalf("bad end of %d errors: %#v", len(errs), e)
			}
			continue
		}
		if e.File != file || e.Text == "" || !utf8.ValidString(e.Error()) || strings.ContainsAny(e.Error(), "\n\x00") {
			t.Fatalf("bad error %#v", e)
		}
		if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > utf8.RuneCountInString(lines[e.Line-1])+1 {
			t.Fatalf("no such place: %v", e)
		}
		if e.Line < last.Line || e.Line == last.Line && e.Column < last.Column {
			t.Fatalf("%v stands after %v", e, last)
		}
		last = e
	}
}

func checkLimits(t *testing.T, c *Config) {
	t.Helper()
	names, ports := map[string]bool{}, map[Port]bool{}
	for i, app := range c.Apps {
		if app.Name == "" || names[app.Name] || len(app.Ports) == 0 || len(app.Targets) == 0 || len(app.Targets) > maxTargets {
			t.Fatalf("app %d: %+v", i, app)
		}
		names[app.Name] = true
		for j, port := range app.Ports {
			if ports[port] {
				t.Fatalf("port %v is there twice", port)
			}
			ports[port] = true
			if r, err := parsePort(port.String()); err != nil || r.first != port {
				t.Fatalf("port %v reads as %v, %v", port, r, err)
			}
			if e := c.Errorf(c.PortPath(i, j), "x"); e.Line < 1 {
				t.Fatalf("no place for port %v", port)
			}
		}
		checkPolicy(t, app)
		for _, target := range app.Targets {
			if a, err := parseAddress(target.Address.String()); err != nil || a != target.Address {
				t.Fatalf("address %v reads as %v, %v", target.Address, a, err)
			}
		}
	}
	for _, address := range c.Admin.Listen {
		if r, err := parseAdmin(address.String()); err != nil || AdminAddress(r.first) != address || ports[Port(address)] {
			t.Fatalf("admin address %v reads as %v, %v", address, r, err)
		}
	}
	if len(c.Apps) == 0 || len(c.Apps) > maxApps || len(ports) > maxSockets {
		t.Fatalf("%d apps, %d ports", len(c.Apps), len(ports))
	}
}

func checkPolicy(t *testing.T, app App) {
	t.Helper()
	for _, list := range []Networks{app.Allow, app.Deny, app.AcceptProxyProtocol.From} {
		for _, network := range list.Prefixes() {
			if p, err := parseNetwork(network.String()); err != nil || p != network {
				t.Fatalf("network %v reads as %v, %v", network, p, err)
			}
		}
	}
	p := app.Probe
	if p.HTTP != (HTTPProbe{}) && (p.Send != "" || p.Expect != "" || p.HTTP.Path == "" || p.HTTP.Low < 100 || p.HTTP.High < p.HTTP.Low || p.HTTP.High > 599) {
		t.Fatalf("probe %+v", p)
	}
	if app.OnDead == OnDeadClose && p.When == ProbeNever {
		t.Fatalf("waits for probes that it has not got: %+v", p)
	}
	if ip := app.SourceAddress; ip.IsValid() && (ip.Is4In6() || ip.IsUnspecified()) {
		t.Fatalf("source address %v", ip)
	}
}

// The patterns of the schema refuse nothing that the parsers accept, and String returns text that is parsed to the same
// value.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"5001", "5200-5210", "127.0.0.1:5300", "[::1]:5400-5401", "[fe80::1%eth0]:1", ":80", "unix:/run/web.sock", "systemd:web",
		"web.internal:80", "a_b.:1", "srv:_web._tcp.example.", "127.0.0.1:9901", "10.0.0.0/8", "10.0.0.1", "fd00::/8", "::ffff:10.0.0.1/128",
		"[::ffff:1.2.3.4]:80", "::1:80", "localhost:80"} {
		f.Add(s)
	}
	port, address := regexp.MustCompile(portPattern), regexp.MustCompile(addressPattern)
	admin, network := regexp.MustCompile(adminPattern), regexp.MustCompile(networkPattern)
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return // not in a source
		}
		if r, err := parsePort(s); err == nil {
			if !port.MatchString(s) {
				t.Errorf("%q is a port to the parser alone", s)
			}
			again, err := parsePort(r.String())
			if err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("%q reads as %v and then %v, %v", s, r, again, err)
			}
		}
		if a, err := parseAddress(s); err == nil {
			if !address.MatchString(s) {
				t.Errorf("%q is an address to the parser alone", s)
			}
			if again, err := parseAddress(a.String()); err != nil || again != a {
				t.Errorf("%q reads as %v and then %v, %v", s, a, again, err)
			}
		}
		if r, err := parseAdmin(s); err == nil {
			if !admin.MatchString(s) {
				t.Errorf("%q is an address for the admin API to the parser alone", s)
			}
			if again, err := parseAdmin(r.String()); err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("%q reads as %v and then %v, %v", s, r, again, err)
			}
		}
		if p, err := parseNetwork(s); err == nil {
			if !network.MatchString(s) {
				t.Errorf("%q is a network to the parser alone", s)
			}
			if again := NetworksOf(p).Prefixes(); len(again) != 1 || again[0] != p {
				t.Errorf("%q reads as %v and then %v", s, p, again)
			}
		}
	})
}
