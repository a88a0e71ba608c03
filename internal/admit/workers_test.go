package admit

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// waiter waits for a worker in a goroutine, and tells whether it has one once the bubble has settled.
func waiter(w *Workers, done chan struct{}) *atomic.Int32 {
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
		first, second := waiter(w, never), waiter(w, never)
		if first.Load() != 0 || second.Load() != 0 {
			t.Fatal("a third worker in a pool of two")
		}
		w.Release()
		synctest.Wait()
		if first.Load() != 1 || second.Load() != 0 {
			t.Fatalf("who waited longer does not come first: %d %d", first.Load(), second.Load())
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

func TestWorkersWhoGivesUpLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorkers(1)
		never, quit := make(chan struct{}), make(chan struct{})
		w.Acquire(never)
		impatient, patient := waiter(w, quit), waiter(w, never)
		close(quit)
		synctest.Wait()
		if impatient.Load() != 2 {
			t.Fatal("done does not end the waiting")
		}
		w.Release()
		synctest.Wait()
		if patient.Load() != 1 {
			t.Fatal("the worker went to one who had left")
		}
		w.Release()
		if w.Busy() != 0 {
			t.Fatalf("%d busy", w.Busy())
		}
	})
}

// However giving up and being given a worker fall together, none gets lost.
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

func TestWorkersTellAnEpisodeOnce(t *testing.T) {
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
		for range 5 { // hovers at the limit
			waiter(w, never)
			w.Release()
			synctest.Wait()
			w.Release()
			w.Acquire(never)
		}
		if full != 1 || len(free) != 0 {
			t.Fatalf("told %d times full and %d times free while hovering", full, len(free))
		}
		time.Sleep(time.Second)
		w.Release()
		w.Release()
		if len(free) != 1 || free[0] != time.Second {
			t.Fatalf("free: %v, want once after 1s", free)
		}
		w.Acquire(never)
		w.Acquire(never)
		waiter(w, never)
		if full != 2 || w.Paused() != 2 {
			t.Fatalf("a second episode is told %d times, counted %d", full, w.Paused())
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
		first, second, third := waiter(w, never), waiter(w, never), waiter(w, never)
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
			t.Fatal("nobody is served after shrinking")
		}
		w.Release()
		if w.Busy() != 0 {
			t.Fatalf("%d busy", w.Busy())
		}
	})
}

// Who cannot block asks for a worker and is told when it is granted, in turn with those who wait.
func TestWorkersRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorkers(1)
		if !w.TryAcquire() || w.TryAcquire() {
			t.Fatal("a pool of one gives one worker")
		}
		granted := [3]bool{}
		var places []*Place
		for i := range granted {
			places = append(places, w.Request(func() { granted[i] = true }))
		}
		last := waiter(w, make(chan struct{}))
		if !places[1].Cancel() {
			t.Fatal("a place in the queue cannot be given up")
		}
		w.Release()
		if granted != [3]bool{true, false, false} {
			t.Fatalf("after one is free: %v", granted)
		}
		if places[0].Cancel() {
			t.Fatal("a granted worker was taken back")
		}
		if w.TryAcquire() {
			t.Fatal("somebody went past those who wait")
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
		if p := w.Request(func() { t.Error("called back for a worker that was there at once") }); p != nil || w.Busy() != 1 {
			t.Fatalf("a request to a pool with a free worker waits, %d busy", w.Busy())
		}
		w.Release()
	})
}
