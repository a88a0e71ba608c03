package admit

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// acquire calls Acquire in a goroutine, and returns its state, after the bubble has settled: 0 while it waits, 1 if it has a
// worker, 2 if it gave up.
func acquire(w *Workers, done chan struct{}) *atomic.Int32 {
	const got, gaveUp = 1, 2
	state := &atomic.Int32{}
	go func() {
		if w.Acquire(done) {
			state.Store(got)
		} else {
			state.Store(gaveUp)
		}
	}()
	synctest.Wait()
	return state
}

func TestWorkersAreGivenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorkers(2)
		never := make(chan struct{})
		for range 2 {
			if !w.Acquire(never) {
				t.Fatal("no worker in an empty pool")
			}
		}
		first, second := acquire(w, never), acquire(w, never)
		if first.Load() != 0 || second.Load() != 0 {
			t.Fatal("a third worker in a pool of two")
		}
		w.Release()
		synctest.Wait()
		if first.Load() != 1 || second.Load() != 0 {
			t.Fatalf("the first waiter does not come first: %d %d", first.Load(), second.Load())
		}
		w.Release()
		synctest.Wait()
		if second.Load() != 1 || w.Busy() != 2 {
			t.Fatalf("the second has %d, %d busy", second.Load(), w.Busy())
		}
		w.Release()
		w.Release()
		if w.Busy() != 0 {
			t.Fatalf("%d busy after all were given back", w.Busy())
		}
	})
}

func TestWorkersGivingUpLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorkers(1)
		never, quit := make(chan struct{}), make(chan struct{})
		w.Acquire(never)
		canceled, waiting := acquire(w, quit), acquire(w, never)
		close(quit)
		synctest.Wait()
		if canceled.Load() != 2 {
			t.Fatal("done does not end Acquire")
		}
		w.Release()
		synctest.Wait()
		if waiting.Load() != 1 {
			t.Fatal("the worker did not go to the one that still waits")
		}
		w.Release()
		if w.Busy() != 0 {
			t.Fatalf("%d busy", w.Busy())
		}
	})
}

// No worker gets lost when a waiter gives up while a worker is granted.
func TestWorkersAreNeverLost(t *testing.T) {
	w := NewWorkers(3)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			done := make(chan struct{})
			if i%2 == 0 {
				go close(done)
			}
			for range 50 {
				if w.Acquire(done) {
					w.Release()
				}
			}
		})
	}
	all.Wait()
	if w.Busy() != 0 {
		t.Fatalf("%d workers are lost", w.Busy())
	}
}

func TestWorkersReportAnEpisodeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorkers(16)
		full, free := 0, []time.Duration(nil)
		w.OnFull = func(int) { full++ }
		w.OnFree = func(d time.Duration) { free = append(free, d) }
		never := make(chan struct{})
		for range 16 {
			w.Acquire(never)
		}
		if full != 0 {
			t.Fatal("full before anyone had to wait")
		}
		for range 5 { // full again and again
			acquire(w, never)
			w.Release()
			synctest.Wait()
			w.Release()
			w.Acquire(never)
		}
		if full != 1 || len(free) != 0 {
			t.Fatalf("reported %d times full and %d times free near the limit", full, len(free))
		}
		time.Sleep(time.Second)
		w.Release()
		w.Release()
		if len(free) != 1 || free[0] != time.Second {
			t.Fatalf("free: %v, want once after 1s", free)
		}
		w.Acquire(never)
		w.Acquire(never)
		acquire(w, never)
		if full != 2 || w.Paused() != 2 {
			t.Fatalf("a second episode: reported %d, counted %d", full, w.Paused())
		}
		for range 17 {
			w.Release()
			synctest.Wait()
		}
	})
}

func TestWorkersResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorkers(1)
		never := make(chan struct{})
		w.Acquire(never)
		first, second, third := acquire(w, never), acquire(w, never), acquire(w, never)
		w.Resize(3)
		synctest.Wait()
		if first.Load() != 1 || second.Load() != 1 || third.Load() != 0 || w.Busy() != 3 {
			t.Fatalf("grown to three: %d %d %d, %d busy", first.Load(), second.Load(), third.Load(), w.Busy())
		}
		w.Resize(1)
		w.Release()
		w.Release()
		synctest.Wait()
		if third.Load() != 0 || w.Busy() != 1 {
			t.Fatalf("shrunk to one: a worker beyond the size was replaced, %d busy", w.Busy())
		}
		w.Release()
		synctest.Wait()
		if third.Load() != 1 {
			t.Fatal("no waiter gets a worker after shrinking")
		}
		w.Release()
		if w.Busy() != 0 {
			t.Fatalf("%d busy", w.Busy())
		}
	})
}

// Request does not block; it grants workers in turn with Acquire.
func TestWorkersRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorkers(1)
		if !w.TryAcquire() || w.TryAcquire() {
			t.Fatal("a pool of one has one worker")
		}
		granted := [3]bool{}
		var waiters []*Waiter
		for i := range granted {
			waiters = append(waiters, w.Request(func() { granted[i] = true }))
		}
		last := acquire(w, make(chan struct{}))
		if !waiters[1].Cancel() {
			t.Fatal("a waiter cannot be withdrawn")
		}
		w.Release()
		if granted != [3]bool{true, false, false} {
			t.Fatalf("after one is free: %v", granted)
		}
		if waiters[0].Cancel() {
			t.Fatal("a granted request was withdrawn")
		}
		if w.TryAcquire() {
			t.Fatal("TryAcquire went past the waiters")
		}
		w.Release()
		synctest.Wait()
		if granted != [3]bool{true, false, true} || last.Load() != 0 {
			t.Fatalf("then: %v, and the last in the queue has %d", granted, last.Load())
		}
		w.Release()
		synctest.Wait()
		if last.Load() != 1 {
			t.Fatal("the last in the queue was forgotten")
		}
		w.Release()
		if p := w.Request(func() { t.Error("granted is called for a worker that was free") }); p != nil || w.Busy() != 1 {
			t.Fatalf("a request to a pool with a free worker waits, %d busy", w.Busy())
		}
		w.Release()
	})
}

// A session that goes on in another engine has a worker though none is free, and nobody else gets one before there is room.
func TestWorkersReenter(t *testing.T) {
	w := NewWorkers(1)
	for range 3 {
		w.Reenter()
	}
	granted := false
	if w.Request(func() { granted = true }) == nil {
		t.Fatal("a worker that there is not")
	}
	for want := 2; want > 0; want-- {
		if w.Release(); w.Busy() != want || granted {
			t.Errorf("%d are busy, want %d", w.Busy(), want)
		}
	}
	if w.Release(); !granted || w.Busy() != 1 {
		t.Errorf("%d are busy, granted: %v", w.Busy(), granted)
	}
}
