package behaviour

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// deadFor waits until the log says that a target is dead for a reason.
func deadFor(t *testing.T, p *harness.Proxy, target, reason string, want int) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("%s is dead: %s", target, reason), func() bool {
		return p.Log.Count(func(l harness.Line) bool {
			text, _ := l.Fields["error"].(string)
			return l.Message == "target is dead" && l.Fields["target"] == target && strings.Contains(text, reason)
		}) >= want
	})
}

// statusOf asks a proxy how it is doing, over its admin socket.
func statusOf(t *testing.T, socket string) (status struct {
	Names []struct {
		Name, Problem string
		Addresses     []string
	}
	Workers struct{ Busy int }
	Apps    []struct {
		Targets []struct{ Name, State, Reason string }
	}
}) {
	t.Helper()
	result := harness.Run(t, "status", "--json", "--socket", socket)
	if result.Code != 0 {
		t.Fatal(result.Stderr)
	}
	if err := json.Unmarshal([]byte(result.Stdout), &status); err != nil {
		t.Fatal(err)
	}
	return status
}

// An address of a name that is the proxy itself is dead, and no check brings it back: sessions go to the others, and none
// to the proxy. When the proxy does not listen there any more, it is a target like the others.
func TestANameThatLeadsBack(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := r.Nameserver()
		port := r.Address()
		_, number, err := net.SplitHostPort(port)
		if err != nil {
			t.Fatal(err)
		}
		other, third := r.AnotherHost(), r.AnotherHost()
		r.IdentifyAt("a", net.JoinHostPort(other, number))
		names.Set(r.Host+" web.internal", other+" web.internal", third+" web.internal")
		target := "web.internal:" + number
		app := harness.App{Ports: []any{port}, Targets: []any{target}, Probe: probe("always", nil)}
		p := r.StartApp(app)
		expectNames(t, r, p, "a", "a")
		deadFor(t, p, target+"/"+port, "leads back to this proxy", 1)
		// The others are checked meanwhile, dead or alive.
		late := net.JoinHostPort(third, number)
		warnings(t, p, target+"/"+late, 1)
		r.IdentifyAt("late", late)
		back(t, p, target+"/"+late, 1)
		goTo(t, r, p, "a", "late")
		for _, record := range p.Records(6) {
			if record.Cause != "client_closed" || record.Target == target+"/"+port {
				t.Errorf("%+v", record)
			}
		}
		if n := p.Log.Count(func(l harness.Line) bool {
			return l.Fields["target"] == target+"/"+port && l.Message != "target is dead"
		}); n != 0 {
			t.Errorf("%d entries about %s, want none but that it is dead", n, port)
		}
		// It comes back when the port is another's.
		app.Ports = []any{r.Address()}
		p.Reload(harness.Config{Apps: []harness.App{app}})
		r.IdentifyAt("b", port)
		goTo(t, r, p, "a", "b", "late")
	})
}

// So it is with the second of two apps whose names lead to each other, and with one that gets the address while it runs.
func TestNamesThatLeadInACircle(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := r.Nameserver()
		h := startHosts(r, 1)
		one, two := r.Address(), r.Address()
		names.Set(h.named("good.internal", 0)...)
		portOf := func(address string) string { _, port, _ := net.SplitHostPort(address); return port }
		p := r.Start(harness.Config{MaxWorkers: 40, Apps: []harness.App{
			{Name: "one", Ports: []any{one}, Targets: []any{"two.internal:" + portOf(two), "good.internal:" + h.port}},
			{Name: "two", Ports: []any{two}, Targets: []any{"one.internal:" + portOf(one), "good.internal:" + h.port}},
		}})
		expectNames(t, r, p, "a", "a")
		// From one to two is no circle yet.
		names.Set(append(h.named("good.internal", 0), r.Host+" two.internal")...)
		harness.Eventually(t, "sessions of one go by way of two", func() bool {
			ask(t, r, p)
			return p.Log.Count(func(l harness.Line) bool { return l.Fields["app"] == "two" && l.Fields["cause"] != nil }) > 0
		})
		names.Set(append(h.named("good.internal", 0), r.Host+" two.internal", r.Host+" one.internal")...)
		deadFor(t, p, "one.internal:"+portOf(one)+"/"+one, "leads back to this proxy", 1)
		deadFor(t, p, "two.internal:"+portOf(two)+"/"+two, "leads back to this proxy", 1)
		expectNames(t, r, p, "a", "a", "a")
		// When the circle is open again, there is no reason against the other half of it.
		names.Set(append(h.named("good.internal", 0), r.Host+" two.internal", r.AnotherHost()+" one.internal")...)
		back(t, p, "two.internal:"+portOf(two)+"/"+two, 1)
	})
}

// Sinkholes answer 0.0.0.0 or ::, and broken zones whatever they like: none of that becomes a target. The status says
// what is wrong with the name.
func TestANameOfNobody(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := r.Nameserver("--srv-host=_web._tcp.internal,good.internal,0,10,1")
		h := startHosts(r, 1)
		names.Set(append(h.named("good.internal", 0), "0.0.0.0 web.internal", ":: web.internal", "255.255.255.255 web.internal", "224.0.0.1 web.internal")...)
		target, socket := "web.internal:"+h.port, r.Path("admin.sock")
		// The port is the target's: who connected to 0.0.0.0 would come to the proxy.
		app := harness.App{Ports: []any{net.JoinHostPort(r.AnotherHost(), h.port)}, Targets: []any{target, "srv:_web._tcp.internal"}}
		p := r.Start(harness.Config{Admin: &harness.Admin{Listen: []string{"unix:" + socket}}, Apps: []harness.App{app}})
		for range 3 {
			r.ExpectRefusal(p.Address())
		}
		for _, record := range p.Records(3) {
			if record.Cause != "no_target" || record.Attempts != 0 {
				t.Errorf("%+v", record)
			}
		}
		for name, problem := range map[string]string{target: "cannot be a target: it is the unspecified address", "srv:_web._tcp.internal": "nobody listens on port 0"} {
			if n := looked(p, name, "cannot be targets"); n != 1 {
				t.Errorf("%d entries about the addresses of %s, want 1", n, name)
			}
			found := false
			for _, n := range statusOf(t, socket).Names {
				found = found || n.Name == name && len(n.Addresses) == 0 && strings.Contains(n.Problem, problem)
			}
			if !found {
				t.Errorf("the status has no problem of %s: %s", name, problem)
			}
		}
		names.Set(append(h.named("good.internal", 0), h.named("web.internal", 0)...)...)
		goTo(t, r, p, "a")
		harness.Eventually(t, "the log says that this is over", func() bool { return looked(p, target, "can be targets again") == 1 })
		// Beside others it is left out, and what there was stays when it comes alone.
		names.Set(append(h.named("web.internal", 0), "0.0.0.0 web.internal")...)
		harness.Eventually(t, "the log says it again", func() bool { return looked(p, target, "cannot be targets") == 2 })
		expectNames(t, r, p, "a", "a", "a")
		names.Set("0.0.0.0 web.internal")
		harness.Eventually(t, "the answer has come", func() bool {
			for _, n := range statusOf(t, socket).Names {
				if n.Name == target {
					return len(n.Addresses) == 0
				}
			}
			return false
		})
		expectNames(t, r, p, "a", "a", "a")
	})
}

// A reload that would make a circle of two apps is refused, and all goes on as before.
func TestAReloadThatMakesACircle(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a := r.Identify("a")
		one, two := r.Address(), r.Address()
		config := func(toOne, toTwo string) harness.Config {
			return harness.Config{Apps: []harness.App{
				{Name: "one", Ports: []any{one}, Targets: []any{toOne}}, {Name: "two", Ports: []any{two}, Targets: []any{toTwo}},
			}}
		}
		refused := func(p *harness.Proxy, config harness.Config) {
			t.Helper()
			text, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			p.ReloadText(string(text), "reload refused")
		}
		p := r.StartApp(harness.App{Ports: []any{one}, Targets: harness.To(a)})
		refused(p, config(two, one))
		harness.Eventually(t, "both targets are told", func() bool {
			return p.Log.Count(harness.Warning("leads back to this proxy")) == 2
		})
		expectNames(t, r, p, "a", "a")
		p.Reload(config(two, a.Address)) // a chain is none
		expectNames(t, r, p, "a", "a")
		refused(p, config(two, two))
		expectNames(t, r, p, "a")
	})
}

// This machine may get the address of a target while the proxy runs, as the next node of a cluster does when it takes an
// address over.
func TestAnAddressThatComesToThisMachine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: to give this machine an address wants root")
	}
	wantIP(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		port := r.SharedPort()
		// An address of RFC 2544, for tests, that no other run has.
		address := fmt.Sprintf("198.%d%s", 18+map[string]int{"copy": 0, "loop": 1}[engine], strings.TrimPrefix(r.Host, strings.Join(strings.Split(r.Host, ".")[:2], ".")))
		away := func() error { return exec.Command("ip", "address", "del", address+"/32", "dev", "lo").Run() }
		target := fmt.Sprintf("%s:%d", address, port)
		a := r.Identify("a")
		p := r.Start(harness.Config{MaxWorkers: 20, Apps: []harness.App{{
			Ports: []any{fmt.Sprintf("0.0.0.0:%d", port)}, Targets: []any{a.Address, target}, ConnectTimeout: "100ms", Balance: "first",
		}}})
		if out, err := exec.Command("ip", "address", "add", address+"/32", "dev", "lo").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Cleanup(func() { away() })
		deadFor(t, p, target, "leads back to this proxy", 1)
		if err := away(); err != nil {
			t.Fatal(err)
		}
		back(t, p, target, 1)
	})
}

// A target may lead back though its address is none of this machine's, as a rule of a firewall makes it: here by a route.
// The session that comes back is refused, the target is dead for that reason, and others lose nothing.
func TestASessionThatComesBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: a route wants root")
	}
	wantIP(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		port := r.SharedPort()
		address := fmt.Sprintf("198.%d%s", 18+map[string]int{"copy": 0, "loop": 1}[engine], strings.TrimPrefix(r.AnotherHost(), strings.Join(strings.Split(r.Host, ".")[:2], ".")))
		if out, err := exec.Command("ip", "route", "add", "local", address+"/32", "dev", "lo", "src", "127.0.0.1").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("ip", "route", "del", "local", address+"/32", "dev", "lo").Run() })
		target := fmt.Sprintf("%s:%d", address, port)
		a := r.Identify("a")
		p := r.Start(harness.Config{MaxWorkers: 40, Apps: []harness.App{
			{Name: "back", Ports: []any{fmt.Sprintf("0.0.0.0:%d", port)}, Targets: []any{target}},
			{Name: "good", Targets: harness.To(a)},
		}})
		r.ExpectRefusal(fmt.Sprintf("127.0.0.1:%d", port))
		deadFor(t, p, target, "leads back to this proxy", 1)
		harness.Eventually(t, "the circle has ended", func() bool {
			sessions, detected := 0, 0
			for _, record := range p.RecordsNow() {
				sessions++
				if record.Cause == "loop_detected" {
					detected++
				}
			}
			// Each lap ends with the first that is recognised; the engine copy may miss one now and then.
			if sessions > 20 {
				t.Fatalf("one client has cost %d sessions", sessions)
			}
			return detected > 0 && sessions > detected
		})
		if name, err := r.Ask(p.AddressOf(1)); name != "a" || err != nil {
			t.Error(name, err)
		}
		again := r.ExpectRefusal(fmt.Sprintf("127.0.0.1:%d", port))
		if record := p.RecordOfAddress(again); record.Cause != "no_target" {
			t.Errorf("%+v", record)
		}
	})
}

// wantIP skips the test on a machine without ip(8).
func wantIP(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("SKIP: ip is not installed: run `make deps`")
	}
}
