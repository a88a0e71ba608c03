package relay

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/target"
)

// told collects what an approach tells.
type told struct {
	failed []string
	back   []string
}

func (o *told) events() *Events {
	return &Events{
		ConnectFailed: func(_ *Route, t *target.Target, _ error, died bool) {
			o.failed = append(o.failed, fmt.Sprintf("%s %v", t.Name, died))
		},
		TargetBack: func(_ *Route, t *target.Target) { o.back = append(o.back, t.Name) },
	}
}

func route(n, attempts int, change func(*config.Target)) *Route {
	var targets []config.Target
	for i := range n {
		t := config.Target{Address: config.Address{Network: "tcp", Host: "h", Port: uint16(i + 1)}, Weight: 1}
		if change != nil {
			change(&t)
		}
		targets = append(targets, t)
	}
	return &Route{App: "web", Targets: target.NewSet(targets, target.Policy{Retry: time.Hour, LookUp: true}, nil), ConnectAttempts: attempts}
}

func TestApproachGoesThroughAll(t *testing.T) {
	var o told
	r := route(3, 0, nil)
	a := NewApproach(r, o.events())
	for range 3 {
		x, _, _ := a.Next()
		a.Failed(x, unix.ECONNREFUSED)
	}
	x, cause, err := a.Next()
	if x != nil || cause != ConnectFailed || !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), "h:3") {
		t.Errorf("after the last: %v %v %v", x, cause, err)
	}
	if a.Attempts() != 3 || a.Last() != "h:3" {
		t.Errorf("%d attempts, last %s", a.Attempts(), a.Last())
	}
	if got := fmt.Sprint(o.failed); got != "[h:1 true h:2 true h:3 true]" {
		t.Error(got)
	}

	again := NewApproach(r, o.events()) // the dead are tried when nobody lives, and one comes back
	x, _, _ = again.Next()
	again.Failed(x, unix.ECONNREFUSED)
	x, _, _ = again.Next()
	again.Connected(x)
	if fmt.Sprint(o.failed[3:], o.back) != "[h:1 false] [h:2]" {
		t.Error(o)
	}
	x.Release()
	for _, x := range r.Targets.All() {
		if x.Sessions() != 0 {
			t.Errorf("%s has %d sessions left", x.Name, x.Sessions())
		}
	}
}

func TestApproachKeepsToItsAttempts(t *testing.T) {
	var o told
	a := NewApproach(route(3, 2, nil), o.events())
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
	a := NewApproach(r, o.events())
	x, _, _ := a.Next()
	a.Failed(x, unix.EMFILE)
	if _, cause, err := a.Next(); cause != Internal || !errors.Is(err, unix.EMFILE) {
		t.Errorf("%v %v", cause, err)
	}
	if x.State() != target.Alive {
		t.Error("the target is marked for what is not its fault")
	}
}

func TestApproachWithNobodyToTry(t *testing.T) {
	var o told
	a := NewApproach(route(1, 0, func(t *config.Target) { t.Down = true }), o.events())
	if x, cause, err := a.Next(); x != nil || cause != NoTarget || err == nil {
		t.Errorf("all down: %v %v %v", x, cause, err)
	}
	r := route(1, 0, func(t *config.Target) { t.MaxSessions = 1 })
	holder := NewApproach(r, o.events())
	x, _, _ := holder.Next()
	if got, cause, _ := NewApproach(r, o.events()).Next(); got != nil || cause != Limited {
		t.Errorf("all full: %v %v", got, cause)
	}
	holder.Abandoned(x)
	if got, _, _ := NewApproach(r, o.events()).Next(); got != x {
		t.Error("the place is not given back")
	}
}
