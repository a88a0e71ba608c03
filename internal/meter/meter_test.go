package meter

import (
	"maps"
	"sync"
	"testing"
	"time"
)

func TestAppAddsUp(t *testing.T) {
	a := NewApp()
	var all sync.WaitGroup
	for shard := range 50 {
		all.Go(func() {
			for range 100 {
				a.Begun()
				a.Uploaded(shard, 3)
				a.Downloaded(-shard, 5)
				a.Ended([]string{"one", "other"}[shard%2], time.Duration(shard%2)*time.Millisecond, time.Second)
			}
			a.Begun()
		})
	}
	all.Wait()
	if up, down := a.Bytes(); up != 15000 || down != 25000 {
		t.Errorf("%d bytes up and %d down", up, down)
	}
	if a.Active() != 50 {
		t.Errorf("%d active", a.Active())
	}
	if want := map[string]uint64{"one": 2500, "other": 2500}; !maps.Equal(a.Causes(), want) {
		t.Errorf("causes %v", a.Causes())
	}
	if c := a.Connect.Read(); c.Total != 2500 || c.Sum != 2500*time.Millisecond {
		t.Errorf("sessions without a target count as connected: %v", c)
	}
	if c := a.Session.Read(); c.Total != 5000 || c.Sum != 5000*time.Second {
		t.Errorf("%v", c)
	}
}

func TestHistogramBounds(t *testing.T) {
	for i, bound := range Bounds {
		var h Histogram
		h.Add(bound)
		h.Add(bound + 1)
		c := h.Read()
		if c.Buckets[i] != 1 || c.Buckets[i+1] != 1 || c.Total != 2 || c.Sum != 2*bound+1 {
			t.Errorf("around %v: %v", bound, c)
		}
	}
	var h Histogram
	h.Add(0)
	h.Add(-time.Second) // a clock that was set back
	if c := h.Read(); c.Buckets[0] != 2 {
		t.Errorf("zero and a negative duration: %v", c)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	a := NewApp()
	a.Ended("closed", 1, 1)
	if n := testing.AllocsPerRun(100, func() {
		a.Begun()
		a.Uploaded(1, 1)
		a.Downloaded(1, 1)
		a.Ended("closed", 1, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
