package upstream

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

// healths brings the only target of a new set into each health.
var healths = []struct {
	name  string
	bring func(*testing.T, *Target, *Set)
}{
	{"untested", func(*testing.T, *Target, *Set) {}},
	{"alive", func(_ *testing.T, x *Target, _ *Set) { x.Connected(time.Millisecond) }},
	{"dead", func(_ *testing.T, x *Target, _ *Set) { x.Failed(false, errConnect) }},
	{"due", func(_ *testing.T, x *Target, _ *Set) {
		x.Failed(false, errConnect)
		time.Sleep(retry)
		synctest.Wait()
	}},
	{"on trial", func(t *testing.T, x *Target, s *Set) {
		x.Failed(false, errConnect)
		time.Sleep(retry)
		synctest.Wait()
		if _, halfOpen, err := s.Pick(new(Attempts), noClient); !halfOpen || err != nil {
			t.Fatalf("trial %v, %v", halfOpen, err)
		}
	}},
}

func (h health) String() string { return healths[h].name }

// effectOf is the effect that causes this news.
func effectOf(news string) effect {
	switch {
	case strings.Contains(news, "died"):
		return diedNow
	case strings.Contains(news, "back"):
		return revived
	case strings.Contains(news, "retry 2"):
		return backedOff
	case strings.Contains(news, "proved"):
		return proved
	}
	return noEffect
}

// Every event in every health: the health after it, and the effect that callers see.
func TestHealthTransitions(t *testing.T) {
	newsIf := func(news string, is bool) string {
		if is {
			return ", " + news
		}
		return ""
	}
	change := func(c Change) string { return newsIf("died", c == Died) + newsIf("back", c == Back) }
	for _, row := range []struct {
		event string
		row   event // of the table
		do    func(*Target, *Set) string
		want  [5]string // from untested, alive, dead, retryDue and inTrial
	}{
		{
			"a connect succeeds", onConnected, func(x *Target, _ *Set) string { return newsIf("back", x.Connected(time.Millisecond)) },
			[5]string{"alive, proved", "alive", "alive, back", "alive, back", "alive, back"},
		},
		{
			"a connect fails", onConnectFailed, func(x *Target, _ *Set) string { return newsIf("died", x.Failed(false, errConnect)) },
			[5]string{"dead, died, retry 1", "dead, died, retry 1", "dead, retry 1", "due", "on trial"},
		},
		{
			"a session comes", onPicked, func(x *Target, s *Set) string {
				_, halfOpen, _ := s.Pick(new(Attempts), noClient)
				return newsIf("trial", halfOpen)
			},
			[5]string{"untested", "alive", "dead, retry 1", "on trial, trial", "on trial"},
		},
		{
			"the trial fails", onTrialFailed, func(x *Target, _ *Set) string { return newsIf("died", x.Failed(true, errConnect)) },
			[5]string{"dead, died, retry 1", "dead, died, retry 1", "dead, retry 1", "due", "dead, retry 2"},
		},
		{
			"the trial is given up", onTrialAbandoned, func(x *Target, _ *Set) string { x.Abandoned(true); return "" },
			[5]string{"untested", "alive", "dead, retry 1", "due", "due"},
		},
		{
			"a connect is given up", -1, func(x *Target, _ *Set) string { x.Abandoned(false); return "" },
			[5]string{"untested", "alive", "dead, retry 1", "due", "on trial"},
		},
		{
			"this machine cannot connect", onTrialAbandoned, func(x *Target, _ *Set) string { return newsIf("died", x.Failed(true, errLocal)) },
			[5]string{"untested", "alive", "dead, retry 1", "due", "due"},
		},
		{
			"the time of a trial comes", onRetryTime, func(x *Target, _ *Set) string {
				time.Sleep(retry)
				synctest.Wait()
				x.retryTimeCame()
				return ""
			},
			[5]string{"untested", "alive", "due", "due", "on trial"},
		},
		{
			"a trial comes too early", -1, func(x *Target, _ *Set) string { x.retryTimeCame(); return "" },
			[5]string{"untested", "alive", "dead, retry 1", "due", "on trial"},
		},
		{
			"probes take over", onProbing, func(x *Target, s *Set) string {
				NewSet(s.targets, Policy{Retry: retry, Probed: true}, s).Activate()
				time.Sleep(20 * retry)
				return ""
			},
			[5]string{"untested", "alive", "dead", "dead", "on trial"},
		},
		{
			"one of two probes passed", onPass, func(x *Target, s *Set) string {
				NewSet(s.targets, Policy{Retry: retry, Rise: 2}, s).Activate()
				return change(x.Probed(nil))
			},
			[5]string{"alive, proved", "alive", "dead, retry 1", "due", "on trial"},
		},
		{
			"probes passed", onRise, func(x *Target, _ *Set) string { return change(x.Probed(nil)) },
			[5]string{"alive, proved", "alive", "alive, back", "alive, back", "alive, back"},
		},
		{
			"probes failed", onFall, func(x *Target, _ *Set) string { return change(x.Probed(errConnect)) },
			[5]string{"dead, died, retry 1", "dead, died, retry 1", "dead, retry 1", "due", "on trial"},
		},
	} {
		for from, want := range row.want {
			synctest.Test(t, func(t *testing.T) {
				s := newSet(1, nil)
				x := s.All()[0]
				healths[from].bring(t, x, s)
				if x.currentHealth() != health(from) {
					t.Fatalf("brought to %q: it is %q", health(from), x.currentHealth())
				}
				if health(from).live() { // no half-open trial is scheduled
					time.Sleep(time.Millisecond)
				}
				news := row.do(x, s)
				got := x.currentHealth().String() + news
				if health(from).live() && x.currentHealth() == alive && x.Condition().Since.Equal(time.Now()) {
					got += ", proved"
				}
				switch x.Retry() {
				case 0:
				case retry:
					got += ", retry 1"
				case 2 * retry:
					got += ", retry 2"
				default:
					got += ", retry " + x.Retry().String()
				}
				if got != want {
					t.Errorf("%s while %s: %q, want %q", row.event, health(from), got, want)
				}
				if row.row >= 0 {
					step := transitions[row.row][from]
					if to, news, _ := strings.Cut(want, ", "); step.to.String() != to || step.effect != effectOf(news) {
						t.Errorf("%s while %s: the table has %q, %d", row.event, health(from), step.to, step.effect)
					}
				}
				wantState := Dead
				if to := x.currentHealth(); to == alive || to == untested {
					wantState = Alive
				}
				if c := x.Condition(); c.Untested != strings.HasPrefix(want, "untested") || x.Untested() != c.Untested {
					t.Errorf("%s while %s: untested %v", row.event, health(from), c.Untested)
				}
				if x.State() != wantState || x.Dead() != (wantState == Dead) {
					t.Errorf("%s while %s: it is %s, want %s", row.event, health(from), x.State(), wantState)
				}
				s.Retire()
			})
		}
	}
	if len(transitions) != int(onFall)+1 {
		t.Error("an event without a row")
	}
}

// Drain and down take precedence over the health, which is still tracked.
func TestDrainAndDownHidesHealth(t *testing.T) {
	s := newSet(2, func(i int, c *config.Target) { c.Down = i == 1 })
	x := s.All()[0]
	for _, step := range []struct {
		do   func()
		want State
	}{
		{func() {}, Alive},
		{func() { x.Drain(true) }, Draining},
		{func() { x.Failed(false, errConnect) }, Draining},
		{func() { x.Drain(false) }, Dead},
		{func() { x.Drain(true) }, Draining},
		{func() { x.Connected(time.Millisecond) }, Draining},
		{func() { x.Drain(false) }, Alive},
	} {
		step.do()
		if got := x.State(); got != step.want {
			t.Errorf("it is %s, want %s", got, step.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		before := newSet(1, nil)
		time.Sleep(time.Second)
		after := NewSet(some(1, func(_ int, c *config.Target) { c.Down = true }), before.policy.Policy, before)
		after.Activate()
		if c := after.All()[0].Condition(); c.State != Down || !c.Since.Equal(time.Now()) {
			t.Errorf("down by a reload: %+v", c)
		}
	})
	down := s.All()[1]
	down.Drain(true)
	down.Failed(false, errConnect)
	if down.State() != Down {
		t.Errorf("down, it is %s", down.State())
	}
	s.Retire()
}

// A target is untested until its first success, or until it is dead. A reload that keeps it keeps that, and another address is
// untested.
func TestUntested(t *testing.T) {
	s := NewSet(some(2, nil), Policy{Retry: retry, Probed: true, Rise: 2, Fall: 2}, nil)
	x, y := s.All()[0], s.All()[1]
	is := func(when string, of *Target, want bool) {
		t.Helper()
		if of.Untested() != want || of.Condition().Untested != want {
			t.Errorf("%s, %s is untested: %v", when, of.Name, of.Untested())
		}
	}
	is("at first", x, true)
	pick(t, s).Abandoned(false)
	x.Failed(false, errLocal)
	x.Probed(errConnect)
	is("without a success", x, true)
	x.Drain(true)
	is("draining", x, false)
	x.Drain(false)
	x.Bar("a cycle")
	is("barred", x, false)
	x.Bar("")
	is("as before", x, true)
	x.Probed(nil)
	is("after a probe passed", x, false)
	is("without a probe", y, true)
	after := NewSet(some(3, nil), s.policy.Policy, s)
	after.Activate()
	is("after a reload", after.All()[0], false)
	is("after a reload", after.All()[1], true)
	is("after a reload", after.All()[2], true)
	y.Probed(errConnect)
	y.Probed(errConnect)
	is("dead", y, false)
	after.Retire()
}

// A new address of a name is untested; the others are what they were.
func TestNewAddressIsUntested(t *testing.T) {
	s := NewSet([]config.Target{{Address: web}}, Policy{Retry: retry}, nil)
	s.Resolved(web, endpoints("10.1.0.1:80"))
	pick(t, s).Connected(time.Millisecond)
	s.Resolved(web, endpoints("10.1.0.1:80", "10.1.0.2:80"))
	if x, y := s.All()[0], s.All()[1]; x.Untested() || !y.Untested() {
		t.Errorf("%s is untested: %v, %s: %v", x.Name, x.Untested(), y.Name, y.Untested())
	}
}

// The time since when a target is draining or down does not change with its health, which does not show.
func TestHiddenHealthDoesNotChangeSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(2, func(i int, c *config.Target) { c.Down = i == 1 })
		x, down := s.All()[0], s.All()[1]
		begin := time.Now()
		x.Drain(true)
		for _, do := range []func(*Target){
			func(x *Target) { x.Connected(time.Millisecond) },
			func(x *Target) { x.Failed(false, errConnect) },
			func(x *Target) { x.Probed(nil) },
		} {
			time.Sleep(time.Second)
			for _, x := range s.All() {
				do(x)
				if c := x.Condition(); !c.Since.Equal(begin) {
					t.Errorf("%s is %s since %v after the begin", x.Name, c.State, c.Since.Sub(begin))
				}
			}
		}
		x.Drain(false)
		if c := x.Condition(); c.State != Alive || !c.Since.Equal(time.Now()) || down.State() != Down {
			t.Errorf("%+v", c)
		}
		s.Retire()
	})
}

func TestRiseAndFall(t *testing.T) {
	s := NewSet(some(1, nil), Policy{Retry: retry, Probed: true, Rise: 2, Fall: 3}, nil)
	x := s.All()[0]
	news := map[Change]string{Unchanged: ".", Died: "D", Back: "B"}
	for _, c := range []struct{ probes, want string }{
		{"---", "..D"},
		{"+-+-++", ".....B"}, // two in a row
		{"--+---", ".....D"}, // three in a row
		{"+", "."},
		{"c", "."}, // a connect succeeds: it is back
		{"--", ".."},
		{"-", "D"},
		{"+c", ".."},
		{"f", "."}, // a connect fails: it is dead, and earlier passes do not count
		{"+", "."},
		{"+", "B"},
		{"--f", "..."},
		{"-c", ".."},
		{"---", "..D"}, // earlier failures do not count
	} {
		got := ""
		for _, probe := range c.probes {
			switch probe {
			case '+':
				got += news[x.Probed(nil)]
			case '-':
				got += news[x.Probed(errConnect)]
			case 'c':
				x.Connected(time.Millisecond)
				got += "."
			case 'f':
				x.Failed(false, errConnect)
				got += "."
			}
		}
		if got != c.want {
			t.Errorf("%s gives %s, want %s", c.probes, got, c.want)
		}
	}
}

// With probes no half-open trial is ever due, and no time is shown until one.
func TestProbedTargetGetsNoHalfOpenTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSet(some(2, nil), Policy{Retry: retry, Probed: true}, nil)
		s.All()[0].Failed(false, errConnect)
		time.Sleep(100 * retry)
		synctest.Wait()
		if got := letters(t, s, 4); got != "bbbb" || s.All()[0].Retry() != 0 {
			t.Errorf("%s, retry in %v", got, s.All()[0].Retry())
		}
		// No other target is alive: it is tried in turn, and comes back if the connect succeeds.
		s.All()[1].Failed(false, errConnect)
		var tried Attempts
		got, halfOpen, err := s.Pick(&tried, noClient)
		if err != nil || halfOpen {
			t.Fatalf("trial %v, %v", halfOpen, err)
		}
		if !got.Connected(time.Millisecond) {
			t.Error("a connect does not bring it back")
		}
		got.Release()
	})
}

// A new policy without probes schedules half-open trials of targets that are dead.
func TestHalfOpenTrialsResumeWithoutProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := NewSet(some(1, nil), Policy{Retry: retry, Probed: true}, nil)
		x := before.All()[0]
		x.Failed(false, errConnect)
		after := NewSet(before.targets, Policy{Retry: retry}, before)
		if x.Retry() != 0 {
			t.Error("a set that is not active has an effect")
		}
		after.Activate()
		x.Failed(false, errConnect) // by a session with the previous target
		time.Sleep(retry)
		synctest.Wait()
		if x.currentHealth() != retryDue {
			t.Errorf("it is %s", x.currentHealth())
		}
		// A shorter retry time also shortens waits that have begun.
		x.handle(x.policy, onPicked, nil)
		for range 8 {
			x.handle(x.policy, onTrialFailed, nil)
			x.handle(x.policy, onRetryTime, nil)
			x.handle(x.policy, onPicked, nil)
		}
		x.handle(x.policy, onTrialFailed, nil)
		if x.Retry() != 10*retry {
			t.Fatalf("it waits %v", x.Retry())
		}
		NewSet(before.targets, Policy{Retry: time.Second}, after).Activate()
		if x.Retry() != 10*time.Second {
			t.Errorf("it waits %v, with a retry time of 1s", x.Retry())
		}
		after.Retire()
		if x.Retry() != 0 || x.retryTimer != nil {
			t.Error("it waits on when no session comes any more")
		}
	})
}

// An endpoint that is in no active set has no timer; when it is added again, it has one.
func TestRemovedTargetHasNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(2, nil)
		x, y := s.All()[0], s.All()[1]
		pick(t, s)
		x.Failed(false, errConnect)
		NewSet(s.targets[1:], s.policy.Policy, s).Activate()
		if x.retryTimer != nil {
			t.Error("a removed endpoint has a timer")
		}
		x.Connected(time.Millisecond)
		x.Failed(false, errConnect)
		if x.retryTimer != nil {
			t.Error("an endpoint that dies after it was removed has a timer")
		}
		s.Activate()
		if x.retryTimer == nil {
			t.Error("an endpoint that was added again has no timer")
		}
		s.Retire()
		y.Failed(false, errConnect)
		if x.retryTimer != nil || y.retryTimer != nil {
			t.Error("an endpoint of a removed app has a timer")
		}
	})
}

func TestCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(1, nil)
		x := s.All()[0]
		begin := time.Now()
		if c := x.Condition(); c.State != Alive || !c.Since.Equal(begin) || c.Reason != "" || !c.LastProbe.IsZero() {
			t.Errorf("at first: %+v", c)
		}
		pick(t, s).Connected(3 * time.Millisecond)
		time.Sleep(time.Second)
		x.Failed(false, errors.New("first"))
		time.Sleep(time.Second)
		x.Failed(false, errLocal)
		x.Failed(false, NoAnswer(time.Second))
		c := x.Condition()
		if c.State != Dead || !c.Since.Equal(begin.Add(time.Second)) || c.Reason != "no answer within 1s" || c.Retry != retry-time.Second {
			t.Errorf("dead: %+v", c)
		}
		if c.Sessions != 1 || c.Total != 1 || c.ConnectTime != 0 {
			t.Errorf("dead: %+v", c)
		}
		for i, reason := range Reasons {
			want := map[string]int64{Other: 1, Local: 1, Timeout: 1}[reason]
			if c.Failures[i] != want {
				t.Errorf("%d failures are %s, want %d", c.Failures[i], reason, want)
			}
		}
		x.Probed(errors.New("worse"))
		if c := x.Condition(); c.Reason != "worse" || c.ProbesFailed != 1 || c.LastProbeErr == nil || !c.LastProbe.Equal(time.Now()) {
			t.Errorf("after a probe: %+v", c)
		}
		time.Sleep(time.Second)
		x.Probed(nil)
		if c := x.Condition(); c.State != Alive || c.Reason != "" || c.ProbesPassed != 1 || c.LastProbeErr != nil || !c.Since.Equal(time.Now()) || c.Retry != 0 {
			t.Errorf("back: %+v", c)
		}
		x.Connected(5 * time.Millisecond)
		if c := x.Condition(); c.ConnectTime != 5*time.Millisecond || c.Total != 2 {
			t.Errorf("measured anew: %+v", c)
		}
		time.Sleep(time.Second)
		x.Drain(true)
		x.Drain(true)
		if c := x.Condition(); c.State != Draining || !c.Since.Equal(time.Now()) {
			t.Errorf("draining: %+v", c)
		}
	})
}
