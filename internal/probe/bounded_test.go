package probe

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/reactor"
	"tcp-proxy/internal/upstream"
)

// missing is n addresses at which a connect fails at once.
func missing(t *testing.T, n int) []string {
	t.Helper()
	at, dir := make([]string, n), t.TempDir()
	for i := range at {
		at[i] = fmt.Sprintf("unix:%s", filepath.Join(dir, strconv.Itoa(i)))
	}
	return at
}

// turns has the prober take turns, on its goroutine, until nothing is left that can be done at once. It returns how many
// verdicts were reported in each.
func (r *rig) turns() (verdicts []int) {
	r.t.Helper()
	for r.timeout() == 0 {
		before := len(r.news)
		r.reactor.Turn(-1)
		r.now = r.reactor.Now()
		r.proceed()
		verdicts = append(verdicts, len(r.news)-before)
		if len(verdicts) > 10_000 {
			r.t.Error("there is no end")
			break
		}
	}
	return verdicts
}

// Connects that fail at once are made over several turns, each of them once, and none is held up for another event.
func TestConnectsThatFailAtOnceAreBounded(t *testing.T) {
	r := newRig(t)
	const targets = 3*startsPerTurn + 1
	failing := set(t, 1, 1, missing(t, targets)...)
	checking := always()
	checking.Interval = time.Hour
	r.ask(func() {
		r.monitor("app", failing, checking)
		all := 0
		for turn, n := range r.turns() {
			if n > startsPerTurn {
				t.Errorf("turn %d: %d verdicts", turn, n)
			}
			all += n
		}
		if all != targets || len(r.news) != targets || r.queue.any() {
			t.Errorf("%d verdicts, want %d", all, targets)
		}
	})
	for range targets {
		r.expect(upstream.Died)
	}
}

// A prober without a slot for another check waits for one to end: it does not go round and round.
func TestAProberThatIsFullWaits(t *testing.T) {
	hole := blackhole(t, "127.0.0.1")
	r := newRig(t)
	checking := always()
	checking.Interval = time.Hour
	r.ask(func() {
		r.inFlight.limit = 1
		r.monitor("one", set(t, 1, 1, hole), checking)
		r.monitor("two", set(t, 1, 1, hole), checking)
		if turns := len(r.turns()); turns != 1 || !r.queue.any() || !r.inFlight.full() {
			t.Errorf("%d turns; does one wait: %v", turns, r.queue.any())
		}
	})
}

// Checks that are overdue together are ended over several turns, if that takes time.
func TestTimeoutsAreBounded(t *testing.T) {
	r := newRig(t)
	r.report = func(string, *upstream.Target, upstream.Change, error) {
		r.news <- news{}
		time.Sleep(time.Duration(reactor.Slice))
	}
	const targets = 5
	silent := set(t, 1, 1, missing(t, targets)...)
	r.ask(func() {
		r.monitor("app", silent, greeting(config.ProbeAlways))
		for r.queue.any() {
			c := r.queue.pop()
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(pair[1]) })
			r.acquire(c, pair[0])
			c.phase, c.next = reading, int64(time.Hour)
			r.arm(c, r.now)
		}
		r.start = r.start.Add(-time.Second) // all are overdue
		if turns := r.turns(); !slices.Equal(turns, []int{1, 1, 1, 1, 1}) {
			t.Errorf("verdicts by turns: %v", turns)
		}
	})
}

// To check one target now, also the one of before a reload, no other's check is looked at.
func TestCheckNowLooksAtOneCheck(t *testing.T) {
	r := newRig(t)
	before := set(t, 1, 1, missing(t, 100)...)
	after := setAfter(t, before, 1, 1, addressesOf(before)...)
	r.ask(func() {
		r.monitor("app", after, dead())
		own := r.checks[after.All()[50].Identity()]
		all := r.checks
		r.checks = map[upstream.Identity]*check{}
		for id, c := range all {
			if c == own {
				r.checks[id] = c
			} else {
				r.checks[id] = nil // who looks at it panics
			}
		}
		before.All()[50].Failed(false, errTest)
		r.checkNow(before.All()[50])
		r.checks = all
		if own.phase != queued || len(r.queue.checks) != 1 || r.queue.checks[0] != own {
			t.Errorf("phase %d, with %d checks that wait", own.phase, len(r.queue.checks))
		}
	})
	r.ask(func() { r.forget("app") })
}

func addressesOf(s *upstream.Set) (all []string) {
	for _, t := range s.All() {
		all = append(all, "unix:"+t.Path)
	}
	return all
}
