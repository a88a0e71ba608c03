package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/upstream"
)

// told collects what an approach tells.
type told struct {
	failed []string
	lacked []string
	stood  int
	back   []string
	ended  []Record
}

func (o *told) events() *Events {
	return &Events{
		ConnectFailed: func(_ *Route, t *upstream.Target, _ error, died bool) {
			o.failed = append(o.failed, fmt.Sprintf("%s %v", t.Name, died))
		},
		Connected: func(*Route) { o.stood++ },
		Short: func(l Lack, r *Route, err error) {
			o.lacked = append(o.lacked, fmt.Sprintf("%s %s: %v", l, r.App, err))
		},
		TargetBack: func(_ *Route, t *upstream.Target) { o.back = append(o.back, t.Name) },
		Ended:      func(r *Record) { o.ended = append(o.ended, *r) },
	}
}

func route(n, attempts int, change func(*config.Target)) *Route {
	var targets []config.Target
	for i := range n {
		t := config.Target{Address: config.Address{Network: "tcp", Host: "127.0.0.1", Port: uint16(i + 1)}, Weight: 1}
		if change != nil {
			change(&t)
		}
		targets = append(targets, t)
	}
	return &Route{App: "web", Targets: upstream.NewSet(targets, upstream.Policy{Retry: time.Hour}, nil), ConnectAttempts: attempts}
}

// approach begins one.
func approach(r *Route, e *Events) *Approach {
	a := &Approach{}
	a.Begin(r, e)
	return a
}

func TestApproachGoesThroughAll(t *testing.T) {
	var o told
	r := route(3, 0, nil)
	a := approach(r, o.events())
	for range 3 {
		x, _, _ := a.Next()
		a.Failed(x, unix.ECONNREFUSED)
	}
	x, cause, err := a.Next()
	if x != nil || cause != ConnectFailed || !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), "127.0.0.1:3") {
		t.Errorf("after the last: %v %v %v", x, cause, err)
	}
	a.Over(&Record{Cause: cause})
	if got := o.ended[0]; got.Attempts != 3 || got.Target != "127.0.0.1:3" || got.Route != r || got.App != "web" {
		t.Errorf("%+v", got)
	}
	if got := fmt.Sprint(o.failed); got != "[127.0.0.1:1 true 127.0.0.1:2 true 127.0.0.1:3 true]" {
		t.Error(got)
	}

	again := approach(r, o.events()) // the dead are tried when nobody lives, and one comes back
	x, _, _ = again.Next()
	again.Failed(x, unix.ECONNREFUSED)
	x, _, _ = again.Next()
	again.Connected(x, 0)
	if fmt.Sprint(o.failed[3:], o.back) != "[127.0.0.1:1 false] [127.0.0.1:2]" {
		t.Error(o)
	}
	again.Over(&Record{Cause: ClientClosed})
	for _, x := range r.Targets.All() {
		if x.Sessions() != 0 {
			t.Errorf("%s has %d sessions left", x.Name, x.Sessions())
		}
	}
}

func TestApproachKeepsToItsAttempts(t *testing.T) {
	var o told
	a := approach(route(3, 2, nil), o.events())
	for range 2 {
		x, _, _ := a.Next()
		a.Failed(x, unix.ECONNREFUSED)
	}
	if x, cause, _ := a.Next(); x != nil || cause != ConnectFailed {
		t.Errorf("a third of two attempts: %v %v", x, cause)
	}
}

func TestApproachWhereTheFaultIsHere(t *testing.T) {
	var o told
	r := route(1, 0, nil)
	a := approach(r, o.events())
	x, _, _ := a.Next()
	a.Failed(x, unix.EMFILE)
	if _, cause, err := a.Next(); cause != Internal || !errors.Is(err, unix.EMFILE) {
		t.Errorf("%v %v", cause, err)
	}
	if x.State() != upstream.Alive {
		t.Error("the target is marked for what is not its fault")
	}
}

// What a session ends for, because this machine lacks it, is told once: as a failed connect, or as what it is.
func TestApproachTellsWhatIsLacking(t *testing.T) {
	var o told
	for _, err := range []error{os.NewSyscallError("epoll_ctl", unix.ENOSPC), ErrNoPeer, nil} {
		a := approach(route(1, 0, nil), o.events())
		a.Over(&Record{Cause: Internal, Err: err})
	}
	a := approach(route(1, 0, nil), o.events())
	x, _, _ := a.Next()
	a.Failed(x, unix.EMFILE)
	_, cause, err := a.Next()
	a.Over(&Record{Cause: cause, Err: err})
	if len(o.lacked) != 1 || o.lacked[0] != "session web: epoll_ctl: no space left on device" || len(o.failed) != 1 {
		t.Errorf("told %q and %q", o.lacked, o.failed)
	}
	a = approach(route(1, 0, nil), o.events())
	x, _, _ = a.Next()
	a.Connected(x, 0)
	a.Over(&Record{Cause: ClientClosed})
	if o.stood != 1 {
		t.Errorf("told %d times that a connection stands", o.stood)
	}
}

func TestApproachWithNobodyToTry(t *testing.T) {
	var o told
	a := approach(route(1, 0, func(t *config.Target) { t.Down = true }), o.events())
	if x, cause, err := a.Next(); x != nil || cause != NoTarget || err == nil {
		t.Errorf("all down: %v %v %v", x, cause, err)
	}
}

// When all are full the session waits, until a place is given back or its patience is over.
func TestApproachAwaitsAPlace(t *testing.T) {
	var o told
	r := route(1, 0, func(t *config.Target) { t.MaxSessions = 1 })
	holder, waiter := approach(r, o.events()), approach(r, o.events())
	x, _, _ := holder.Next()
	holder.Connected(x, 0)
	if got, cause, err := waiter.Next(); got != nil || cause != "" || !errors.Is(err, upstream.ErrFull) {
		t.Fatalf("all full: %v %v %v", got, cause, err)
	}
	granted := make(chan struct{}, 1)
	waiter.Await(func() { granted <- struct{}{} })
	if len(granted) != 0 {
		t.Fatal("granted what there is not")
	}
	holder.Over(&Record{Cause: ClientClosed})
	<-granted
	if got, _, _ := waiter.Next(); got != x {
		t.Fatalf("granted, and got %v", got)
	}
	waiter.Connected(x, 0)

	late := approach(r, o.events())
	late.Next()
	late.Await(func() { t.Error("granted after it gave up") })
	if cause, err := late.GiveUp(); cause != Limited || !errors.Is(err, upstream.ErrFull) {
		t.Errorf("%v %v", cause, err)
	}
	late.Over(&Record{Cause: Limited})
	waiter.Over(&Record{Cause: ClientClosed})

	// A place that is granted to a session that is over is given back.
	a, b, c := approach(r, o.events()), approach(r, o.events()), approach(r, o.events())
	a.Next()
	b.Next()
	b.Await(func() {})
	a.Abandoned(x)
	b.Over(&Record{Cause: ClientReset})
	if got, _, _ := c.Next(); got != x {
		t.Error("the place is lost")
	}
}

// While no target name has an address yet, the session waits for one.
func TestApproachAwaitsAName(t *testing.T) {
	var o told
	name := config.Address{Network: "tcp", Host: "web.internal", Port: 80}
	r := &Route{App: "web", ConnectTimeout: time.Second,
		Targets: upstream.NewSet([]config.Target{{Address: name, Weight: 1}}, upstream.Policy{Retry: time.Hour}, nil)}
	early := approach(r, o.events())
	if got, cause, err := early.Next(); got != nil || cause != "" || !errors.Is(err, upstream.ErrUnresolved) {
		t.Fatalf("before there is an answer: %v %v %v", got, cause, err)
	}
	early.Await(func() { t.Error("granted without an answer") })
	if cause, err := early.GiveUp(); cause != NoTarget || !errors.Is(err, upstream.ErrUnresolved) {
		t.Errorf("%v %v", cause, err)
	}
	early.Over(&Record{Cause: NoTarget})

	a := approach(r, o.events())
	a.Next()
	granted := make(chan struct{}, 1)
	a.Await(func() { granted <- struct{}{} })
	r.Targets.Resolved(name, []upstream.Endpoint{{Addr: netip.MustParseAddrPort("192.0.2.1:80")}})
	<-granted
	if got, cause, err := a.Next(); got == nil || got.Name != "web.internal:80/192.0.2.1:80" {
		t.Fatalf("with an answer: %v %v %v", got, cause, err)
	}
}

func TestApproachFromAnAddressThatIsNotHere(t *testing.T) {
	var o told
	r := route(1, 0, nil)
	r.SourceAddress = netip.MustParseAddr("192.0.2.1")
	a := approach(r, o.events())
	x, _, _ := a.Next()
	a.Failed(x, r.BindSource(-1, netip.IPv6Loopback()))
	if _, cause, err := a.Next(); cause != Internal || !strings.Contains(err.Error(), "from 192.0.2.1: ") {
		t.Errorf("%v %v", cause, err)
	}
	if x.State() != upstream.Alive {
		t.Error("the target is marked for what is not its fault")
	}
}

// The meter counts every session, and how long connecting took of those that got a target.
func TestApproachMeters(t *testing.T) {
	var o told
	r := route(1, 0, nil)
	r.Meter = meter.NewApp()
	a, b := approach(r, o.events()), approach(r, o.events())
	x, _, _ := a.Next()
	a.Connected(x, time.Millisecond)
	if n := r.Meter.Active(); n != 2 {
		t.Errorf("%d sessions are active", n)
	}
	a.Over(&Record{Cause: ClientClosed, Connect: time.Second, Duration: time.Minute})
	b.Over(&Record{Cause: NoTarget, Connect: time.Second, Duration: time.Minute})
	if n, connect, all := r.Meter.Active(), r.Meter.Connect.Read(), r.Meter.Session.Read(); n != 0 || connect.Total != 1 || all.Total != 2 {
		t.Errorf("%d active, %d connected, %d ended", n, connect.Total, all.Total)
	}
	if got := r.Meter.Causes(); got["client_closed"] != 1 || got["no_target"] != 1 {
		t.Error(got)
	}
}

// Who may not come in is told why, and who may is counted until it is over.
func TestApproachAdmits(t *testing.T) {
	var o told
	r := route(1, 0, nil)
	client := netip.MustParseAddr("::ffff:192.0.2.7")
	r.Gate = admit.NewGate(admit.Policy{MaxSessions: 1, Deny: config.NetworksOf(netip.MustParsePrefix("10.0.0.0/8"))}, nil)
	first, second, third := approach(r, o.events()), approach(r, o.events()), approach(r, o.events())
	if cause := first.Admit(client); cause != "" {
		t.Errorf("the first: %v", cause)
	}
	if cause := second.Admit(client); cause != Limited {
		t.Errorf("the second: %v", cause)
	}
	if cause := third.Admit(netip.MustParseAddr("10.1.2.3")); cause != Denied {
		t.Errorf("of a network that is denied: %v", cause)
	}
	second.Over(&Record{Cause: Limited})
	third.Over(&Record{Cause: Denied})
	if r.Gate.Open() != 1 {
		t.Errorf("%d are in", r.Gate.Open())
	}
	first.Over(&Record{Cause: ClientClosed})
	if r.Gate.Open() != 0 {
		t.Errorf("%d are in", r.Gate.Open())
	}
	for i, want := range []admit.Refusal{admit.MaxSessions, admit.Denied, ""} {
		if o.ended[i].Refused != want {
			t.Errorf("refused for %q, want %q", o.ended[i].Refused, want)
		}
	}
}

// A client that only the number of sessions is in the way of is not refused before it is asked for again, and a session
// that has left does not count though it is not over.
func TestApproachKnocks(t *testing.T) {
	var o told
	r := route(1, 0, func(t *config.Target) { t.MaxSessions = 1 })
	client := netip.MustParseAddr("192.0.2.7")
	r.Gate = admit.NewGate(admit.Policy{MaxSessions: 1, Deny: config.NetworksOf(netip.MustParsePrefix("10.0.0.0/8"))}, nil)
	first, second, third := approach(r, o.events()), approach(r, o.events()), approach(r, o.events())
	if cause, decided := first.Knock(client); cause != "" || !decided {
		t.Errorf("the first: %v, %v", cause, decided)
	}
	x, _, _ := first.Next()
	first.Connected(x, 0)
	if cause, decided := second.Knock(client); cause != "" || decided {
		t.Errorf("the second: %v, %v", cause, decided)
	}
	if cause, decided := third.Knock(netip.MustParseAddr("10.1.2.3")); cause != Denied || !decided {
		t.Errorf("of a network that is denied: %v, %v", cause, decided)
	}
	refused := func() (n uint64) {
		for refusal, count := range r.Gate.Refused() {
			if refusal == admit.MaxSessions {
				n = count
			}
		}
		return n
	}
	if n := refused(); n != 0 {
		t.Errorf("%d refusals are counted", n)
	}
	if cause := second.Admit(client); cause != Limited || refused() != 1 {
		t.Errorf("while the first is there: %v, %d refusals are counted", cause, refused())
	}
	first.Leave()
	if cause := second.Admit(client); cause != "" || x.Sessions() != 0 {
		t.Errorf("after the first has left: %v, its target has %d sessions", cause, x.Sessions())
	}
	first.Over(&Record{Cause: ClientClosed})
	if r.Gate.Open() != 1 || x.Sessions() != 0 {
		t.Errorf("after the first is over: %d are in, its target has %d sessions", r.Gate.Open(), x.Sessions())
	}
	if got := o.ended[0]; got.Target != x.Name {
		t.Errorf("%+v", got)
	}
}

// Beside an address of a name, one of the other family is tried, and each is answered for.
func TestApproachRivals(t *testing.T) {
	var o told
	name := config.Address{Network: "tcp", Host: "name.test", Port: 80}
	four, six := netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("[2001:db8::1]:80")
	set := upstream.NewSet([]config.Target{{Address: name, Weight: 1}}, upstream.Policy{Retry: time.Hour}, nil)
	set.Resolved(name, []upstream.Endpoint{{Addr: four}, {Addr: six}})
	r := &Route{App: "web", Targets: set}
	for _, won := range []string{"first", "rival", "none"} {
		a := approach(r, o.events())
		first, _, _ := a.Next()
		if !a.MayRival(first) {
			t.Fatalf("%s: no rival is thought of", won)
		}
		rival := a.Rival(first)
		if rival == nil || rival.Addr.Addr().Is4() == first.Addr.Addr().Is4() {
			t.Fatalf("%s: the rival is %v", won, rival)
		}
		if again := a.Rival(first); again != nil {
			t.Errorf("%s: and another, %v", won, again)
		}
		want := first
		switch won {
		case "first":
			a.Abandoned(rival)
			a.Connected(first, 0)
		case "rival":
			want = rival
			a.Abandoned(first)
			a.Connected(rival, 0)
		case "none":
			a.Failed(first, unix.ECONNREFUSED)
			a.Failed(rival, unix.ECONNREFUSED)
			want = rival
		}
		a.Over(&Record{})
		if last := o.ended[len(o.ended)-1]; last.Target != want.Name || last.Attempts != 2 {
			t.Errorf("%s: %+v", won, last)
		}
		for _, x := range set.All() {
			if x.Sessions() != 0 {
				t.Errorf("%s: %s has %d sessions left", won, x.Name, x.Sessions())
			}
		}
	}
	limited := *r
	limited.ConnectAttempts = 1
	a := approach(&limited, o.events())
	first, _, _ := a.Next()
	if a.Rival(first) != nil {
		t.Error("a rival beyond the attempts that a session may make")
	}
	a.Abandoned(first)
}
