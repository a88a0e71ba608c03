package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/testkit"
)

// A table has the sockets of a server that carries out plans.
type table map[Key]entry

type entry struct {
	net.Listener
	port config.Port
}

func (s table) wanted(ports ...config.Port) Wanted {
	w := Wanted{Ports: ports}
	for key, e := range s {
		w.Open = append(w.Open, Socket{key, e.port, func(f func(int) error) error { return linux.Control(e.Listener, f) }})
	}
	return w
}

// carryOut returns the table after a plan, and the sockets for which MakesWay is true.
func (s table) carryOut(p *Plan) (next table, makeWay []net.Listener) {
	next = table{}
	for key, e := range s {
		switch to, _, ok := p.Next(key); {
		case ok:
			next[to] = e
		case p.MakesWay(key):
			makeWay = append(makeWay, e)
		default:
			e.Close()
		}
	}
	for _, n := range p.New {
		next[n.Key] = entry{n.Listener, n.Key.Port}
	}
	return next, makeWay
}

func tcp(ip string, number uint16) config.Port {
	if ip == "" {
		return config.Port{Network: "tcp", Addr: netip.AddrPortFrom(netip.Addr{}, number)}
	}
	return config.Port{Network: "tcp", Addr: netip.AddrPortFrom(netip.MustParseAddr(ip), number)}
}

// When a port is replaced by one with common addresses, those are listened on all the time.
func TestPlansThatOverlap(t *testing.T) {
	number := testkit.Port(t)
	own, every4, every6, every := tcp("127.0.0.1", number), tcp("0.0.0.0", number), tcp("::", number), tcp("", number)
	open := table{}
	defer func() {
		for _, e := range open {
			e.Close()
		}
	}()
	for i, step := range []struct {
		port    config.Port
		fresh   int // sockets that are made
		after   int // sockets that are open then
		makeWay int
	}{
		{own, 1, 1, 0},
		{own, 0, 1, 0},
		{every4, 1, 2, 0},
		{every4, 0, 2, 0},
		{own, 0, 1, 0}, // its socket is there
		{every6, 1, 2, 0},
		{every, 0, 2, 0}, // the same in other words
		{tcp("127.0.0.2", number), 1, 1, 1},
		{every, 1, 2, 0},
	} {
		p, err := Prepare(t.Context(), open.wanted(step.port))
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if len(p.New) != step.fresh {
			t.Errorf("step %d: %d new sockets, want %d", i, len(p.New), step.fresh)
		}
		var makeWay []net.Listener
		open, makeWay = open.carryOut(p)
		if len(open) != step.after || len(makeWay) != step.makeWay {
			t.Errorf("step %d: %d sockets and %d that make way, want %d and %d", i, len(open), len(makeWay), step.after, step.makeWay)
		}
		for key := range open {
			if key.Port != step.port {
				t.Errorf("step %d: a socket serves %s", i, key.Port)
			}
		}
		for _, l := range makeWay {
			l.Close()
		}
	}
}

// The error of a plan names the ports that are in use, and the process; no socket is left open.
func TestPlansThatFail(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	inUse := config.Port{Network: "tcp", Addr: netip.MustParseAddrPort(taken.Addr().String())}
	free := tcp("127.0.0.1", testkit.Port(t))
	wanted := table{}.wanted(free, inUse, free, config.Port{Network: "systemd", Path: "web"})
	var failed Failures
	// A machine that is busy may not have the time to find the process.
	testkit.Eventually(t, "the error names the process", func() bool {
		_, err = Prepare(t.Context(), wanted)
		if !errors.As(err, &failed) || len(failed) != 2 || failed[0].Index != 1 || failed[1].Index != 3 {
			t.Fatalf("error %v, failures %v", err, failed)
		}
		return strings.Contains(failed[0].Err.Error(), "(by listen.test, PID ")
	}, func() any { return err })
	if !errors.Is(failed[0].Err, unix.EADDRINUSE) {
		t.Errorf("the port in use: %v", failed[0].Err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Prepare(done, table{}.wanted(free)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that is done: %v", err)
	}
	p, err := Prepare(t.Context(), table{}.wanted(free, free))
	if err != nil {
		t.Fatalf("the port that is free: %v", err)
	}
	if len(p.New) != 1 || p.New[0].Index != 0 {
		t.Errorf("a port that is listed twice: %v", p.New)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if l, err := net.Listen("tcp", free.Addr.String()); err != nil {
		t.Errorf("a plan that was closed: %v", err)
	} else {
		l.Close()
	}
}
