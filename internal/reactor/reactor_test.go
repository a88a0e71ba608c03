package reactor

import (
	"math"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a reactor whose time goes on as the test wants it. It adds step with each look at the clock.
type fake struct {
	*Reactor
	time, step int64
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{}
	var err error
	if f.Reactor, err = New(func() int64 { f.time += f.step; return f.time }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// Commands that take their time are done over several turns, in order, and those that are posted meanwhile after them.
func TestCommandsAreBounded(t *testing.T) {
	r := newFake(t)
	done := 0
	post := func(i int) {
		r.Post(func() {
			if done != i {
				t.Errorf("command %d is done as number %d", i, done)
			}
			done++
			r.time += Slice
			if i == 1 {
				r.Post(func() { done++ }) // its Wake comes while others are left, and is the only one
			}
		})
	}
	for i := range 5 {
		post(i)
	}
	for i := 1; i <= 5; i++ {
		r.RunCommands()
		if done != i || i < 5 && r.Timeout(Never) != 0 {
			t.Fatalf("after %d turns %d commands are done", i, done)
		}
	}
	r.RunCommands()
	if done != 6 || r.Timeout(Never) != -1 {
		t.Errorf("%d commands are done", done)
	}
}

// Many commands that take no time are done in one turn, and the clock bounds those that post each other for ever.
func TestCommandsThatPostThemselvesAreBounded(t *testing.T) {
	r := newFake(t)
	r.step = Slice / 100
	n := 0
	var again func()
	again = func() { n++; r.Post(again) }
	r.Post(again)
	r.RunCommands()
	if n < 90 || n > 110 {
		t.Errorf("%d commands in a slice of 100", n)
	}
}

// Post wakes a turn that waits, whoever posts, and nothing that was posted is forgotten.
func TestPostWakes(t *testing.T) {
	r := newFake(t)
	const posters, each = 8, 200
	done := 0
	var posting sync.WaitGroup
	for range posters {
		posting.Go(func() {
			for range each {
				r.Post(func() { done++ })
			}
		})
	}
	for begun := time.Now(); done < posters*each; {
		timeout := r.Timeout(Never)
		if timeout < 0 {
			timeout = 60_000
		}
		r.Wait(timeout)
		if time.Since(begun) > 50*time.Second {
			t.Fatalf("nobody is woken: %d of %d commands are done", done, posters*each)
		}
		r.RunCommands()
	}
	posting.Wait()
}

// A command is posted while another one takes its slice, and its event comes in a turn that only does what was left over. The
// turn after that does not wait.
func TestPostWhileCommandsAreLeft(t *testing.T) {
	r := newFake(t)
	r.step = Slice
	done := false
	r.Post(func() { r.Post(func() { done = true }) })
	r.Post(func() {})
	for turn := range 3 {
		timeout := r.Timeout(Never)
		if timeout != 0 && turn > 0 {
			t.Fatalf("turn %d waits for %d ms", turn, timeout)
		}
		r.Wait(0)
		r.RunCommands()
	}
	if !done {
		t.Error("the command is not done")
	}
}

// What is posted after Close is refused, what was posted before is not done any more, and the waker's number, which may be
// another descriptor's, is not written to.
func TestPostIsRefusedAfterClose(t *testing.T) {
	r, err := New(func() int64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	fd := r.mailbox.waker.FD()
	called := false
	if !r.Post(func() { called = true }) {
		t.Error("a command is refused before Close")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	counter, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(counter)
	if counter != fd {
		if err := unix.Dup3(counter, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	var posting sync.WaitGroup
	for range 4 {
		posting.Go(func() {
			if r.Post(func() { called = true }) {
				t.Error("a command is taken after Close")
			}
		})
	}
	posting.Wait()
	r.RunCommands()
	var count [8]byte
	if _, err := unix.Read(fd, count[:]); err != unix.EAGAIN || called {
		t.Errorf("the descriptor of the waker has %v (%v); called: %v", count, err, called)
	}
}

// Timers that are due at the same time are given out over several turns, as far as that takes time.
func TestTimersAreBounded(t *testing.T) {
	r := newFake(t)
	const timers = 100
	for n := range int32(timers) {
		r.Arm(n, int64(time.Second)+int64(n%3)*tick)
	}
	r.Arm(timers, int64(time.Hour))
	r.time = int64(2 * time.Second)
	met := 0
	for range timers/7 + 1 {
		before := met
		r.Turn(-1)
		r.RunTimers(func(n int32) {
			met++
			if met == 1 {
				r.Arm(n, r.now+int64(time.Second)) // what is armed meanwhile is another moment
			}
			r.time += (Slice + 6) / 7
		})
		if met < timers && (met-before != 7 || r.Timeout(Never) != 0) {
			t.Fatalf("%d were met at a time", met-before)
		}
	}
	if met != timers || r.Timeout(Never) <= 0 {
		t.Errorf("%d were met of %d", met, timers)
	}
	r.time = int64(3*time.Second) + 3*tick
	r.Turn(-1)
	r.RunTimers(func(int32) { met++ })
	if met != timers+1 {
		t.Errorf("%d were met, with the one that was armed again", met)
	}
}

// What is armed in the turn after a long sleep, before timers run, is met when it should be.
func TestATurnThatBeginsLateArmsFromThePresent(t *testing.T) {
	r := newFake(t)
	r.time = int64(30 * 24 * time.Hour)
	r.Turn(-1)
	at := r.time + int64(50*time.Millisecond)
	r.Arm(1, at)
	if ms := r.Timeout(Never); ms < 50 || ms > 60 {
		t.Errorf("the next turn is in %d ms, want 50 or a tick more", ms)
	}
	r.RunTimers(func(int32) { t.Error("it is early") })
	r.time = at + tick
	r.Turn(-1)
	met := 0
	r.RunTimers(func(int32) { met++ })
	if met != 1 {
		t.Errorf("%d were met", met)
	}
}

// A turn waits until the earliest of all that it is to do.
func TestTimeout(t *testing.T) {
	const ms = int64(time.Millisecond)
	r := newFake(t)
	r.Arm(1, 100*ms)
	for until, want := range map[int64]int{Never: 100, 0: 0, -ms: 0, 1: 1, 30 * ms: 30, 30*ms + 1: 31, 200 * ms: 100} {
		if got := r.Timeout(until); got != want {
			t.Errorf("until %d: %d ms, want %d", until, got, want)
		}
	}
	r.Disarm(1)
	for until, want := range map[int64]int{Never: -1, Never - 1: math.MaxInt32} {
		if got := r.Timeout(until); got != want {
			t.Errorf("until %d: %d ms, want %d", until, got, want)
		}
	}
}

// Late is what a turn took longer than it was to wait, with the work of the turn before.
func TestLate(t *testing.T) {
	const ms = int64(time.Millisecond)
	r := newFake(t)
	for _, c := range []struct {
		timeout  int
		took     int64
		wantLate int64
	}{
		{0, 3 * ms, 3 * ms}, {10, 10 * ms, 0}, {10, 25 * ms, 15 * ms}, {10, 4 * ms, -6 * ms}, {-1, int64(time.Hour), 0},
	} {
		r.time += c.took
		r.Turn(c.timeout)
		if r.Late() != c.wantLate || r.Now() != r.time {
			t.Errorf("%d ns for a timeout of %d ms: %d late, want %d", c.took, c.timeout, r.Late(), c.wantLate)
		}
	}
}

// Events come with the data that was given for them, and a wait ends after its timeout.
func TestEvents(t *testing.T) {
	r := newFake(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	var table Table[int]
	n, v := table.Acquire()
	if err := r.Add(pair[0], unix.EPOLLIN|unix.EPOLLET, table.Key(n)|2); err != nil {
		t.Fatal(err)
	}
	if events := r.Wait(1); len(events) != 0 {
		t.Fatalf("%d events of nothing", len(events))
	}
	if _, err := unix.Write(pair[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	var events []unix.EpollEvent
	for begun := time.Now(); len(events) == 0; events = r.Wait(20_000) { // a signal ends a wait
		if time.Since(begun) > 20*time.Second {
			t.Fatal("no event")
		}
	}
	if data := linux.EventData(&events[0]); table.Find(data) != v || Tag(data) != 2 {
		t.Errorf("the event is about %x", data)
	}
}
