package probe

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
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
	for r.patience() == 0 {
		before := len(r.news)
		r.now = int64(time.Since(r.start))
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
	const targets = 3*beginsPerTurn + 1
	failing := set(t, 1, 1, missing(t, targets)...)
	manner := always()
	manner.Interval = time.Hour
	r.ask(func() {
		r.watch("app", failing, manner)
		all := 0
		for turn, n := range r.turns() {
			if n > beginsPerTurn {
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

// A prober without a place for another check waits for one to end: it does not go round and round.
func TestAProberThatIsFullWaits(t *testing.T) {
	hole := blackhole(t, "127.0.0.1")
	r := newRig(t)
	manner := always()
	manner.Interval = time.Hour
	r.ask(func() {
		r.flights.limit = 1
		r.watch("one", set(t, 1, 1, hole), manner)
		r.watch("two", set(t, 1, 1, hole), manner)
		if turns := len(r.turns()); turns != 1 || !r.queue.any() || !r.flights.full() {
			t.Errorf("%d turns; does one wait: %v", turns, r.queue.any())
		}
	})
}

// Checks that are overdue together are ended over several turns.
func TestTimeoutsAreBounded(t *testing.T) {
	r := newRig(t)
	const targets = duesPerTurn + 1
	silent := set(t, 1, 1, missing(t, targets)...)
	r.ask(func() {
		r.watch("app", silent, greeting(config.ProbeAlways))
		for i, c := range r.schedule {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(pair[1]) })
			r.take(c, pair[0])
			c.phase, c.next = reading, int64(time.Hour)
			c.at = r.now - int64(targets-i) // the schedule stays in order
		}
		if turns := r.turns(); len(turns) != 2 || turns[0] != duesPerTurn || turns[1] != 1 {
			t.Errorf("verdicts by turns: %v", turns)
		}
	})
}

// Orders are obeyed over several turns, in order, without another ring of the bell.
func TestOrdersAreBounded(t *testing.T) {
	r := newRig(t)
	const orders = 2*ordersPerTurn + 1
	var done []int
	all := make(chan struct{})
	r.ask(func() {
		for i := range orders {
			r.order(func() { done = append(done, i) })
		}
		for turn := 1; turn <= 3; turn++ {
			r.obey()
			if want := min(orders, turn*ordersPerTurn); len(done) != want || r.busy() != (want < orders) {
				t.Errorf("after %d turns %d of %d orders are done", turn, len(done), orders)
				return
			}
		}
		for i := range orders {
			r.order(func() { done = append(done, orders+i) })
		}
		r.order(func() { close(all) })
		r.obey() // what is left comes with the turns of the goroutine itself
	})
	if t.Failed() {
		return
	}
	select {
	case <-all:
	case <-time.After(patience):
		t.Fatal("orders are forgotten")
	}
	for i, n := range done {
		if i != n {
			t.Fatalf("order %d is done in place of %d", n, i)
		}
	}
}

// To wake a target, also the one of before a reload, no other's check is looked at.
func TestWakingLooksAtOneCheck(t *testing.T) {
	r := newRig(t)
	before := set(t, 1, 1, missing(t, 100)...)
	after := setAfter(t, before, 1, 1, addressesOf(before)...)
	r.ask(func() {
		r.watch("app", after, dead())
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
		r.wake(before.All()[50])
		r.checks = all
		if own.phase != resting || own.at > r.now || len(r.schedule) != 1 {
			t.Errorf("phase %d, with %d checks to come", own.phase, len(r.schedule))
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
