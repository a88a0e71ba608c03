package session

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

func TestEveryTargetIsTried(t *testing.T) {
	route := newRoute(3, nil)
	r := begin(t, route)
	for range 3 {
		r.pick()
		if action := r.fail(Target, unix.ECONNREFUSED); action != Connect {
			t.Errorf("after a failure: %v", action)
		}
	}
	if x, action := r.Pick(r.now); x != nil || action != Abort {
		t.Errorf("after the last: %v %v", x, action)
	}
	rec := r.endsBy(relay.ConnectFailed, true)
	if !errors.Is(rec.Err, unix.ECONNREFUSED) || !strings.Contains(rec.Err.Error(), "127.0.0.1:3") {
		t.Error(rec.Err)
	}
	if rec.Attempts != 3 || rec.Target != "127.0.0.1:3" || rec.Route != route || rec.App != "web" {
		t.Errorf("%+v", rec)
	}
	if got := fmt.Sprint(r.failed); got != "[127.0.0.1:1 true 127.0.0.1:2 true 127.0.0.1:3 true]" {
		t.Error(got)
	}

	again := begin(t, route) // the dead are tried when nobody lives, and one comes back
	again.pick()
	again.fail(Target, unix.ECONNREFUSED)
	again.connect()
	if fmt.Sprint(again.failed, again.back) != "[127.0.0.1:1 false] [127.0.0.1:2]" {
		t.Error(again.failed, again.back)
	}
	again.End(relay.ClientReset, nil)
	again.over()
	noSessions(t, route)
}

func TestConnectAttempts(t *testing.T) {
	route := newRoute(3, nil)
	route.ConnectAttempts = 2
	r := begin(t, route)
	for range 2 {
		r.pick()
		r.fail(Target, unix.ECONNREFUSED)
	}
	if x, action := r.Pick(r.now); x != nil || action != Abort {
		t.Errorf("a third of two attempts: %v %v", x, action)
	}
	r.endsBy(relay.ConnectFailed, true)

	raced := named(t)
	raced.ConnectAttempts = 1
	r = begin(t, raced)
	r.pick()
	if x := r.Race(r.now); x != nil {
		t.Errorf("a race beyond the attempts that a session may make: %s", x.Name)
	}
}

// A fault of this machine marks no target.
func TestLocalFault(t *testing.T) {
	route := newRoute(2, nil)
	r := begin(t, route)
	x := r.pick()
	r.fail(Target, unix.EMFILE)
	r.pick()
	r.fail(Target, unix.EMFILE)
	r.Pick(r.now)
	if rec := r.endsBy(relay.Internal, true); !errors.Is(rec.Err, unix.EMFILE) {
		t.Error(rec.Err)
	}
	if x.State() != upstream.Alive {
		t.Error("the target is marked for what is not its fault")
	}

	r = begin(t, route) // one that is the target's makes it the target's
	r.pick()
	r.fail(Target, unix.EMFILE)
	r.pick()
	r.fail(Target, unix.ECONNREFUSED)
	r.Pick(r.now)
	r.endsBy(relay.ConnectFailed, true)
}

func TestSourceAddressThatIsNotHere(t *testing.T) {
	route := newRoute(1, nil)
	route.SourceAddress = netip.MustParseAddr("192.0.2.1")
	r := begin(t, route)
	x := r.pick()
	r.fail(Target, route.BindSource(-1, netip.IPv6Loopback()))
	r.Pick(r.now)
	if rec := r.endsBy(relay.Internal, true); !strings.Contains(rec.Err.Error(), "from 192.0.2.1: ") {
		t.Error(rec.Err)
	}
	if x.State() != upstream.Alive {
		t.Error("the target is marked for what is not its fault")
	}
}

// What this machine lacks is reported once: as a failed connect, or as what it is.
func TestShortage(t *testing.T) {
	for err, want := range map[error]int{os.NewSyscallError("epoll_ctl", unix.ENOSPC): 1, relay.ErrNoPeer: 0, nil: 0} {
		r := begin(t, newRoute(1, nil))
		r.End(relay.Internal, err)
		if r.over(); len(r.short) != want || want > 0 && r.short[0] != "session web: epoll_ctl: no space left on device" {
			t.Errorf("%v: %q was reported", err, r.short)
		}
	}
	r := begin(t, newRoute(1, nil))
	r.pick()
	r.fail(Target, unix.EMFILE)
	r.Pick(r.now)
	if r.over(); len(r.short) != 0 || len(r.failed) != 1 {
		t.Errorf("%q and %q were reported", r.short, r.failed)
	}
}

func TestNoTarget(t *testing.T) {
	r := begin(t, newRoute(1, func(t *config.Target) { t.Down = true }))
	if x, action := r.Pick(r.now); x != nil || action != Abort {
		t.Errorf("all down: %v %v", x, action)
	}
	r.endsBy(relay.NoTarget, true)
}

// When all targets are full the session waits, until a slot is given back or its time-out expires.
func TestAwaitSlot(t *testing.T) {
	route := newRoute(1, func(t *config.Target) { t.MaxSessions = 1 })
	route.ConnectTimeout = 3 * time.Second
	holder, waiter := begin(t, route), begin(t, route)
	x := holder.connect()
	if got, action := waiter.Pick(waiter.now); got != nil || action != AwaitSlot {
		t.Fatalf("all full: %v %v", got, action)
	}
	granted := make(chan struct{}, 1)
	waiter.Await(waiter.now, func() { granted <- struct{}{} })
	if len(granted) != 0 || waiter.OnGranted() != Wait {
		t.Fatal("a slot is granted that there is not")
	}
	holder.End(relay.ClientReset, nil)
	holder.over()
	<-granted
	if action := waiter.OnGranted(); action != Connect {
		t.Fatalf("granted: %v", action)
	}
	if got := waiter.connect(); got != x {
		t.Fatalf("granted, and got %v", got)
	}

	late := begin(t, route)
	late.Pick(late.now)
	late.Await(late.now, func() { t.Error("granted after it gave up") })
	late.pass(3 * time.Second)
	if due := late.Due(late.now, &late.still); due != DueSlot || late.OnDue(due) != Abort {
		t.Errorf("after the time-out: %v", due)
	}
	if rec := late.endsBy(relay.Limited, true); !errors.Is(rec.Err, upstream.ErrFull) || !strings.Contains(rec.Err.Error(), "for 3s") {
		t.Error(rec.Err)
	}

	// The slot comes at the moment of the time-out.
	last := begin(t, route)
	last.Pick(last.now)
	last.Await(last.now, func() { granted <- struct{}{} })
	waiter.End(relay.ClientReset, nil)
	waiter.over()
	<-granted
	last.pass(3 * time.Second)
	if due := last.Due(last.now, &last.still); due != DueSlot || last.OnDue(due) != Connect || last.OnGranted() != Connect {
		t.Errorf("a slot that was granted in time: %v", due)
	}
	if got := last.connect(); got != x {
		t.Error("the slot is lost")
	}
	last.End(relay.ClientReset, nil)
	last.over()

	// A slot that is granted to a session that has ended is given back.
	a, b, c := begin(t, route), begin(t, route), begin(t, route)
	a.pick()
	b.Pick(b.now)
	b.Await(b.now, func() {})
	a.End(relay.ClientReset, nil)
	a.over()
	b.End(relay.ClientReset, nil)
	if b.OnGranted() != Abort {
		t.Error("it goes on though it has ended")
	}
	b.over()
	if got := c.pick(); got != x {
		t.Error("the slot is lost")
	}
}

// While no target name has an address yet, the session waits for one.
func TestAwaitName(t *testing.T) {
	name := config.Address{Network: "tcp", Host: "web.internal", Port: 80}
	route := &relay.Route{App: "web", ConnectTimeout: time.Second,
		Targets: upstream.NewSet([]config.Target{{Address: name, Weight: 1}}, upstream.Policy{Retry: time.Hour}, nil)}
	early := begin(t, route)
	if got, action := early.Pick(early.now); got != nil || action != AwaitSlot {
		t.Fatalf("before there is an answer: %v %v", got, action)
	}
	early.Await(early.now, func() { t.Error("granted without an answer") })
	early.pass(time.Second)
	early.OnDue(early.Due(early.now, &early.still))
	if rec := early.endsBy(relay.NoTarget, true); !errors.Is(rec.Err, upstream.ErrUnresolved) {
		t.Error(rec.Err)
	}

	r := begin(t, route)
	r.Pick(r.now)
	granted := make(chan struct{}, 1)
	r.Await(r.now, func() { granted <- struct{}{} })
	route.Targets.Resolved(name, []upstream.Endpoint{{Addr: netip.MustParseAddrPort("192.0.2.1:80")}})
	<-granted
	if r.OnGranted() != Connect {
		t.Fatal("an answer is nothing to it")
	}
	if got := r.pick(); got.Name != "web.internal:80/192.0.2.1:80" {
		t.Error(got.Name)
	}
}

// A race of two addresses of a name: who is connected, what the engine is to do, and that each attempt is answered for.
func TestRace(t *testing.T) {
	for _, c := range []struct {
		name   string
		events func(r *rig) Action
		action Action
		winner int
	}{
		{"the first wins", func(r *rig) Action { return r.OnConnected(Target, true, r.now) }, Relay, Target},
		{"the second wins", func(r *rig) Action { return r.OnConnected(Racing, true, r.now) }, Relay, Racing},
		{"the second wins, the first has failed", func(r *rig) Action {
			if action := r.fail(Target, unix.ECONNREFUSED); action != Promote {
				r.Errorf("the first has failed: %v", action)
			}
			return r.OnConnected(Target, false, r.now)
		}, Relay, Racing},
		{"the first wins, the second has failed", func(r *rig) Action {
			if action := r.fail(Racing, unix.ECONNREFUSED); action != Wait {
				r.Errorf("the second has failed: %v", action)
			}
			return r.OnConnected(Target, false, r.now)
		}, Relay, Target},
		{"the second is reset", func(r *rig) Action {
			return r.OnConnectReset(Racing, unix.ECONNRESET, true, r.now)
		}, Abort, Racing},
		{"both fail", func(r *rig) Action {
			r.fail(Target, unix.ECONNREFUSED)
			return r.fail(Target, unix.ECONNREFUSED)
		}, Connect, Racing},
		{"the client goes", func(r *rig) Action { return r.OnBroken(Client, true, r.now) }, Abort, Racing},
	} {
		t.Run(c.name, func(t *testing.T) {
			route := named(t)
			r := begin(t, route)
			first := r.pick()
			if !r.MayRace() {
				t.Fatal("there is to be no race")
			}
			r.pass(RaceAfter)
			second := r.Race(r.now)
			if second == nil || second.Addr.Addr().Is4() == first.Addr.Addr().Is4() || !r.RaceIsOn() {
				t.Fatalf("the second is %v", second)
			}
			if r.MayRace() {
				t.Error("and there is to be another")
			}
			if action := c.events(r); action != c.action {
				t.Errorf("action %v, want %v", action, c.action)
			}
			want := first
			if c.winner == Racing {
				want = second
			}
			r.End(relay.Stopped, nil)
			if rec := r.over(); rec.Target != want.Name || rec.Attempts != 2 {
				t.Errorf("%+v, want target %s", rec, want.Name)
			}
			noSessions(t, route)
		})
	}
}

// An address that has lost several races in a row without an answer is tried after the others of its name.
func TestAddressThatLosesRaces(t *testing.T) {
	route := named(t)
	for range 20 {
		r := begin(t, route)
		if silent := r.pick().Addr.Addr().Is4(); !silent {
			r.OnConnected(Target, false, r.now)
		} else if r.Race(r.now) != nil {
			r.OnConnected(Racing, true, r.now)
		}
		r.End(relay.ClientReset, nil)
		if r.over(); len(r.second) > 0 {
			return
		}
	}
	t.Error("an address that never answers goes on being the first")
}

// The connection was established if it is reset before the engine looks at it.
func TestConnectThatIsReset(t *testing.T) {
	for err, want := range map[error]bool{unix.ECONNRESET: true, os.NewSyscallError("connect", unix.EPIPE): true, unix.ECONNREFUSED: false, nil: false} {
		if WasReset(err) != want {
			t.Errorf("%v is a reset after the connect: %v", err, !want)
		}
	}
	r := begin(t, newRoute(2, nil))
	x := r.pick()
	if action := r.OnConnectReset(Target, unix.ECONNRESET, false, r.now); action != Abort {
		t.Error(action)
	}
	if rec := r.endsBy(relay.TargetReset, true); rec.Target != x.Name || rec.Attempts != 1 || r.stood != 1 || len(r.failed) != 0 {
		t.Errorf("%+v, %d connected, failed %v", rec, r.stood, r.failed)
	}
}
