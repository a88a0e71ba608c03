package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
	"tcp-proxy/internal/logging"
)

// appLine returns an app with ports and targets.
func appLine(name, ports, targets string) string {
	return fmt.Sprintf(`{"name": %q, "ports": [%s], "targets": [%s]}`, name, ports, targets)
}

// refusedTargets returns the paths of the targets that CheckTargets refuses.
func refusedTargets(t *testing.T, inherited []listen.Inherited, apps ...string) (paths []string) {
	t.Helper()
	err := CheckTargets(parse(t, ownAddress(), `{"apps": [`+strings.Join(apps, ",")+`]}`), inherited)
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrLeadsBack) {
		t.Fatal(err)
	}
	var errs config.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("%T", err)
	}
	for _, e := range errs {
		if e.Line == 0 {
			t.Errorf("no line number: %v", e)
		}
		paths = append(paths, e.Path)
	}
	return paths
}

func TestCheckTargets(t *testing.T) {
	first := []string{"apps[0].targets[0]"}
	both := []string{"apps[0].targets[0]", "apps[1].targets[0]"}
	for name, c := range map[string]struct {
		apps []string
		want []string
	}{
		"the same":               {[]string{appLine("a", `"127.0.0.1:5001"`, `"127.0.0.1:5001"`)}, first},
		"as IPv4 in IPv6":        {[]string{appLine("a", `"127.0.0.1:5001"`, `"[::ffff:127.0.0.1]:5001"`)}, first},
		"IPv6":                   {[]string{appLine("a", `"[::1]:5001"`, `"[::1]:5001"`)}, first},
		"every address":          {[]string{appLine("a", `5001`, `"127.1.2.3:5001"`)}, first},
		"every address, IPv6":    {[]string{appLine("a", `5001`, `"[::1]:5001"`)}, first},
		"every IPv6":             {[]string{appLine("a", `"[::]:5001"`, `"127.0.0.1:5001"`)}, first},
		"every IPv4":             {[]string{appLine("a", `"0.0.0.0:5001"`, `"127.0.0.1:5001"`)}, first},
		"every IPv4, not IPv6":   {[]string{appLine("a", `"0.0.0.0:5001"`, `"[::1]:5001"`)}, nil},
		"localhost":              {[]string{appLine("a", `5001`, `"LocalHost.:5001"`)}, first},
		"below localhost":        {[]string{appLine("a", `"127.0.0.1:5001"`, `"db.localhost:5001"`)}, first},
		"localhost elsewhere":    {[]string{appLine("a", `"[::1]:5001", "10.0.0.1:5001"`, `"localhost:5001"`)}, nil},
		"another address":        {[]string{appLine("a", `"10.0.0.1:80"`, `"127.0.0.1:80"`)}, nil},
		"another loopback":       {[]string{appLine("a", `"127.0.0.1:80"`, `"127.0.0.2:80"`)}, nil},
		"another machine":        {[]string{appLine("a", `80`, `"192.0.2.1:80", "[2001:db8::1]:80", "web.internal:80"`)}, nil},
		"another port":           {[]string{appLine("a", `80`, `"127.0.0.1:81"`)}, nil},
		"a range":                {[]string{appLine("a", `"5001-5010"`, `"127.0.0.1:5011", "127.0.0.1:5010"`)}, []string{"apps[0].targets[1]"}},
		"a link":                 {[]string{appLine("a", `"[fe80::1%lo]:80"`, `"[fe80::1%lo]:80"`)}, first},
		"another link":           {[]string{appLine("a", `"[fe80::1%lo]:80"`, `"[fe80::1%eth9]:80"`)}, nil},
		"down":                   {[]string{appLine("a", `5001`, `{"address": "127.0.0.1:5001", "down": true}`)}, nil},
		"a backup":               {[]string{appLine("a", `5001`, `"192.0.2.1:80", {"address": "127.0.0.1:5001", "backup": true}`)}, []string{"apps[0].targets[1]"}},
		"a chain":                {[]string{appLine("a", `5001`, `"127.0.0.1:5002"`), appLine("b", `5002`, `"127.0.0.1:5003"`), appLine("c", `5003`, `"192.0.2.1:80"`)}, nil},
		"two of a chain":         {[]string{appLine("a", `5001`, `"127.0.0.1:5003"`), appLine("b", `5002`, `"127.0.0.1:5003"`), appLine("c", `5003`, `"192.0.2.1:80"`)}, nil},
		"a circle":               {[]string{appLine("a", `5001`, `"127.0.0.1:5002"`), appLine("b", `5002`, `"192.0.2.1:80", "127.0.0.1:5001"`)}, []string{first[0], "apps[1].targets[1]"}},
		"a circle of three":      {[]string{appLine("a", `5001`, `"[::1]:5002"`), appLine("b", `5002`, `"127.0.0.1:5003"`), appLine("c", `5003`, `"localhost:5001"`)}, append(both, "apps[2].targets[0]")},
		"on the way to a circle": {[]string{appLine("a", `5001`, `"127.0.0.1:5002"`), appLine("b", `5002`, `"127.0.0.1:5003"`), appLine("c", `5003`, `"127.0.0.1:5002"`)}, []string{"apps[1].targets[0]", "apps[2].targets[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := refusedTargets(t, nil, c.apps...); !slices.Equal(got, c.want) {
				t.Errorf("refused %v, want %v", got, c.want)
			}
		})
	}
}

// A port on a wildcard address accepts on the addresses of all interfaces.
func TestCheckTargetsOnInterfaces(t *testing.T) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range found {
		ip, ok := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if !ok || ip.Unmap().IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		address := netip.AddrPortFrom(ip.Unmap(), 5001).String()
		if got := refusedTargets(t, nil, appLine("a", `5001`, fmt.Sprintf("%q", address))); len(got) != 1 {
			t.Errorf("%s is not refused", address)
		}
		if got := refusedTargets(t, nil, appLine("a", `"127.0.0.1:5001"`, fmt.Sprintf("%q", address))); len(got) != 0 {
			t.Errorf("%s is refused, but nothing listens there", address)
		}
	}
}

func TestCheckTargetsOnUnixSockets(t *testing.T) {
	folder := t.TempDir()
	link, port := filepath.Join(folder, "link"), filepath.Join(folder, "port.sock")
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	refused := func(target string) bool {
		return len(refusedTargets(t, nil, appLine("a", `"unix:`+port+`"`, `"unix:`+target+`"`))) == 1
	}
	check := func() {
		t.Helper()
		if !refused(port) || !refused(filepath.Join(link, "port.sock")) || !refused(folder+"/x/../port.sock") {
			t.Error("a path that leads back is not refused")
		}
		if refused(filepath.Join(folder, "other.sock")) {
			t.Error("another path is refused")
		}
	}
	check() // before the socket exists
	l, err := net.Listen("unix", port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Mkdir(filepath.Join(folder, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	check()
	if err := os.Link(port, filepath.Join(folder, "hard.sock")); err != nil {
		t.Fatal(err)
	}
	if !refused(filepath.Join(folder, "hard.sock")) {
		t.Error("a hard link to the port is not refused")
	}
}

func TestCheckTargetsOnInheritedSockets(t *testing.T) {
	ip := ownAddress()
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sockets := []listen.Inherited{{Name: "web", Listener: l}}
	app := appLine("a", `"systemd:web"`, fmt.Sprintf("%q", l.Addr().String()))
	if got := refusedTargets(t, sockets, app); len(got) != 1 {
		t.Errorf("refused %v, want the one target", got)
	}
	// The command check does not know the sockets that systemd passes.
	if got := refusedTargets(t, nil, app); len(got) != 0 {
		t.Errorf("refused %v", got)
	}
	six, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp6", "[::]:0") // IPv6 only
	if err != nil {
		t.Skip(err)
	}
	defer six.Close()
	port := six.Addr().(*net.TCPAddr).Port
	sockets = []listen.Inherited{{Name: "web", Listener: six}}
	if got := refusedTargets(t, sockets, appLine("a", `"systemd:web"`, fmt.Sprintf(`"127.0.0.1:%d", "[::1]:%d"`, port, port))); !slices.Equal(got, []string{"apps[0].targets[1]"}) {
		t.Errorf("refused %v, want the IPv6 target alone", got)
	}
}

// Start and reload refuse the same targets as CheckTargets, and change nothing then.
func TestApplyRefusesACycle(t *testing.T) {
	ip := ownAddress()
	bad := parse(t, ip, `{"apps": [`+appLine("a", `"IP:5001"`, `"IP:5002"`)+`,`+appLine("b", `"IP:5002"`, `"IP:5001"`)+`]}`)
	if _, err := New(t.Context(), bad, logging.Discard(), nil); !errors.Is(err, ErrLeadsBack) {
		t.Fatalf("New: %v", err)
	}
	s := start(t, parse(t, ip, `{"apps": [`+appLine("a", `"IP:5001"`, `"IP:5003"`)+`]}`))
	if _, err := s.Apply(bad); !errors.Is(err, ErrLeadsBack) {
		t.Fatalf("Apply: %v", err)
	}
	if got := s.Snapshot(); len(got.Apps) != 1 || got.Apps[0].Targets[0].Name != ip+":5003" {
		t.Errorf("%+v", got.Apps)
	}
}

// The number of reported targets is limited, as for other errors, and the time does not grow with the product of
// listeners and targets.
func TestCheckTargetsReportsABoundedNumber(t *testing.T) {
	const n = 10_000
	var ports, targets []string
	for i := range n {
		address := fmt.Sprintf(`"127.1.%d.%d:80"`, i>>8, i&0xff)
		ports, targets = append(ports, address), append(targets, address)
	}
	cfg := parse(t, "", `{"apps": [{"name": "a", "ports": [`+strings.Join(ports, ",")+`], "targets": [`+strings.Join(targets, ",")+`]},
		{"name": "b", "ports": [81], "targets": ["127.1.0.0:81", `+strings.Join(targets[:n/2], ",")+`]}]}`)
	err := CheckTargets(cfg, nil)
	var errs config.Errors
	if !errors.As(err, &errs) || len(errs) != config.MaxErrors+1 {
		t.Fatalf("%d errors: %.200v", len(errs), err)
	}
	if got, want := errs[config.MaxErrors].Error(), fmt.Sprintf("test.json: and %d more errors", n+1-config.MaxErrors); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if brief := config.Brief(err); !strings.HasSuffix(brief, fmt.Sprintf("(and %d more errors)", n)) {
		t.Error(brief)
	}
}
