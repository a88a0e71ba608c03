package behaviour

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// hosts are targets that say their name, "a", "b" and so on, each on an address of its own and all on one port.
type hosts struct {
	port      string
	addresses []string
	targets   []*harness.Target
}

func startHosts(r *harness.Rig, n int) hosts {
	r.T.Helper()
	first, port, err := net.SplitHostPort(r.Address())
	if err != nil {
		r.T.Fatal(err)
	}
	h := hosts{port: port, addresses: []string{first}}
	for len(h.addresses) < n {
		h.addresses = append(h.addresses, r.AnotherHost())
	}
	for i, a := range h.addresses {
		h.targets = append(h.targets, r.IdentifyAt(string(rune('a'+i)), net.JoinHostPort(a, port)))
	}
	return h
}

// named gives the lines that have a name stand for those hosts.
func (h hosts) named(name string, which ...int) []string {
	var lines []string
	for _, i := range which {
		lines = append(lines, h.addresses[i]+" "+name)
	}
	return lines
}

// goTo waits until new sessions go to these targets and no others.
func goTo(t *testing.T, r *harness.Rig, p *harness.Proxy, names ...string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("sessions go to %v", names), func() bool {
		seen := map[string]bool{}
		for range 2 * len(names) {
			name, err := r.Ask(p.Address())
			if err != nil {
				return false
			}
			seen[name] = true
		}
		return len(seen) == len(names) && !slices.ContainsFunc(names, func(n string) bool { return !seen[n] })
	})
}

func TestNamesAreFollowed(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := r.Nameserver()
		h := startHosts(r, 3)
		names.Set(h.named("web.internal", 0, 1)...)
		p := r.StartApp(harness.App{Targets: []any{"web.internal:" + h.port}})
		expectNames(t, r, p, "a", "b", "a", "b") // from the first session on
		open := p.Dial()
		if name, err := open.Name(); err != nil || name != "a" {
			t.Fatal(name, err)
		}
		names.Set(h.named("web.internal", 1, 2)...)
		goTo(t, r, p, "b", "c")
		names.Set(h.named("web.internal", 2)...)
		goTo(t, r, p, "c")
		open.CloseWrite() // it went on at the address that is gone
		open.ExpectEOF()
		for _, record := range p.Records(5) {
			if i := strings.Index(record.Target, "/"); i < 0 || record.Target[:i] != "web.internal:"+h.port {
				t.Errorf("target %q, want the name and the address", record.Target)
			}
		}
		if n := p.Log.Count(harness.Warning("")); n != 0 {
			t.Errorf("%d warnings", n)
		}
	})
}

// looked are the entries about a name.
func looked(p *harness.Proxy, name, what string) int {
	return p.Log.Count(func(l harness.Line) bool {
		return l.Fields["name"] == name && strings.Contains(l.Message, what)
	})
}

// A name that cannot be looked up any more, because no server is there or because the server says that it does not exist,
// stands for what it stood for; the log says so once, and when that is over.
func TestANameThatFailsKeepsItsAnswer(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := r.Nameserver()
		h := startHosts(r, 2)
		names.Set(h.named("web.internal", 0)...)
		target := "web.internal:" + h.port
		p := r.StartApp(harness.App{Targets: []any{target}})
		for round, fail := range []func(){names.Stop, func() { names.Set() }} {
			expectNames(t, r, p, "a")
			fail()
			harness.Eventually(t, "the log says that the name fails", func() bool { return looked(p, target, "name lookup failed; keeping the last answer") > round })
			expectNames(t, r, p, "a", "a")
			// A reload that changes the app does not forget it either.
			p.Reload(harness.Config{Apps: []harness.App{{
				Ports: []any{p.Address()}, Targets: []any{target}, ConnectTimeout: fmt.Sprintf("%ds", 10+round),
			}}})
			expectNames(t, r, p, "a", "a")
			names.Set(h.named("web.internal", 1)...)
			if round == 0 {
				names.Start()
			}
			goTo(t, r, p, "b")
			harness.Eventually(t, "the log says that it works again", func() bool { return looked(p, target, "name lookup works again") > round })
			names.Set(h.named("web.internal", 0)...)
			goTo(t, r, p, "a")
			if n := looked(p, target, ""); n != 2*(round+1) {
				t.Errorf("%d entries about the name, want %d", n, 2*(round+1))
			}
		}
	})
}

// A proxy starts although a name is not known. Nobody waits for it then, and it is followed all the same.
func TestANameThatIsNotKnown(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := r.Nameserver()
		h := startHosts(r, 1)
		target := "web.internal:" + h.port
		p := r.StartApp(harness.App{Targets: []any{target}})
		if n := looked(p, target, "name lookup failed; the name has no address yet, and is no target until a lookup succeeds; retrying"); n != 1 {
			t.Errorf("%d entries that the name is not known, want 1", n)
		}
		r.ExpectRefusal(p.Address())
		if record := p.Records(1)[0]; record.Cause != "no_target" {
			t.Errorf("%+v", record)
		}
		names.Set(h.named("web.internal", 0)...)
		goTo(t, r, p, "a")
		harness.Eventually(t, "the log says that the name is known", func() bool {
			return looked(p, target, "name lookup works; the name has its first addresses") == 1
		})
		if n := looked(p, target, ""); n != 2 {
			t.Errorf("%d entries about the name, want 2", n)
		}
	})
}

// While the first answer of a name is still to come, the proxy is ready all the same, and who comes waits for it.
func TestTheFirstAnswerOfANameIsWaitedFor(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := r.Nameserver()
		h := startHosts(r, 1)
		names.Set(h.named("web.internal", 0)...)
		resume := names.Pause()
		p := r.StartApp(harness.App{Targets: []any{"web.internal:" + h.port}, ConnectTimeout: "1m"})
		client := p.Dial()
		resume()
		if name, err := client.Name(); err != nil || name != "a" {
			t.Error(name, err)
		}
	})
}

func TestServiceRecords(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		h := startHosts(r, 3)
		service := func(host string, priority, weight int) string {
			return fmt.Sprintf("--srv-host=_web._tcp.internal,%s.internal,%s,%d,%d", host, h.port, priority, weight)
		}
		names := r.Nameserver(service("one", 10, 3), service("two", 10, 1), service("spare", 20, 9))
		known := slices.Concat(h.named("one.internal", 0), h.named("two.internal", 1), h.named("spare.internal", 2))
		names.Set(known...)
		p := r.StartApp(harness.App{
			Targets: []any{"srv:_web._tcp.internal"},
			Probe:   &harness.Probe{Interval: "20ms", Rise: 1},
		})
		seen := map[string]int{}
		for range 40 {
			seen[ask(t, r, p)]++
		}
		if seen["a"] != 30 || seen["b"] != 10 {
			t.Errorf("40 sessions went to %v, want a and b by their weights, 3 and 1", seen)
		}
		// Another priority is for when nobody of the first is left.
		h.targets[0].Stop()
		goTo(t, r, p, "b")
		h.targets[1].Stop()
		goTo(t, r, p, "c")
		h.targets[1].Restart()
		goTo(t, r, p, "b")
		// The hosts of the records are followed.
		names.Set(slices.Concat(h.named("one.internal", 2), h.named("two.internal", 2), h.named("spare.internal", 2))...)
		goTo(t, r, p, "c")
	})
}

// Every address of a name is a target of its own: one that is dead is passed over, the others go on.
func TestEveryAddressIsATarget(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := r.Nameserver()
		port := fmt.Sprint(r.SharedPort())
		other := r.AnotherHost()
		r.IdentifyAt("four", net.JoinHostPort(r.Host, port))
		six := r.IdentifyAt("six", net.JoinHostPort("::1", port))
		names.Set("::1 web.internal", r.Host+" web.internal", other+" web.internal")
		p := r.StartApp(harness.App{
			Targets: []any{"web.internal:" + port},
			Probe:   &harness.Probe{Interval: "20ms", Rise: 1},
		})
		goTo(t, r, p, "four", "six")
		warnings(t, p, "web.internal:"+port+"/"+other, 1)
		six.Stop()
		goTo(t, r, p, "four")
		six.Restart()
		goTo(t, r, p, "four", "six")
		warnings(t, p, "web.internal:"+port+"/[::1]", 1)
		// One that is new is checked like the others.
		third := r.AnotherHost()
		late := r.IdentifyAt("late", net.JoinHostPort(third, port))
		names.Set(r.Host+" web.internal", third+" web.internal")
		goTo(t, r, p, "four", "late")
		late.Stop()
		goTo(t, r, p, "four")
		late.Restart()
		goTo(t, r, p, "four", "late")
	})
}

// An address that does not answer keeps no session waiting while the name has one of the other family that does.
func TestASilentAddressIsNotWaitedFor(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := r.Nameserver()
		port := fmt.Sprint(r.SharedPort())
		r.BlackholeAt(net.JoinHostPort(r.Host, port))
		r.IdentifyAt("six", net.JoinHostPort("::1", port))
		names.Set("::1 web.internal", r.Host+" web.internal")
		p := r.StartApp(harness.App{Targets: []any{"web.internal:" + port}, ConnectTimeout: "1h"})
		expectNames(t, r, p, "six", "six", "six", "six")
	})
}
