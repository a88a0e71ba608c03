package resolve

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A set is told at once of what is new, and of all that comes soon after together: telling it takes a look at all its
// targets.
func TestTellingIsBounded(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		const n = 500
		var names []string
		for i := range n {
			host := fmt.Sprintf("web-%d", i)
			names = append(names, host+":80")
			r.answer(host, func(context.Context) (answer, error) {
				time.Sleep(time.Duration(1+i%7) * time.Millisecond)
				return answer{addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 2, byte(rand.Int()), byte(1 + rand.IntN(200))})}, ttl: sec}, nil
			})
		}
		var told atomic.Int64
		s := newSet(names...)
		r.Watch(s, func() { told.Add(1) })
		r.Await(t.Context(), s)
		if len(s.All()) < n*9/10 { // some have the same address
			t.Errorf("%d targets are known after the first answers", len(s.All()))
		}
		synctest.Wait()
		told.Store(0)
		time.Sleep(10 * sec)
		synctest.Wait()
		if n := told.Load(); n < 10 || n > 101 {
			t.Errorf("told %d times in 10s, want ten a second at most", n)
		}
		// One change among none is told at once.
		for i := range n {
			r.addresses(fmt.Sprintf("web-%d", i), time.Hour, "10.0.0.1")
		}
		r.addresses("web-0", 5*sec, "10.0.0.1")
		time.Sleep(4 * sec)
		r.addresses("web-0", time.Hour, "10.0.0.2")
		synctest.Wait()
		for told.Store(0); told.Load() == 0; time.Sleep(time.Millisecond) {
			synctest.Wait()
			if r.now() > time.Minute {
				t.Fatal("it is not told")
			}
		}
		if n := len(s.All()); n != 2 {
			t.Errorf("%d targets", n)
		}
		// A set that is forgotten is not told any more.
		r.addresses("web-1", sec, "10.0.0.1")
		r.Forget(s)
		told.Store(0)
		time.Sleep(2 * time.Hour)
		if told.Load() != 0 || len(r.audiences) != 0 {
			t.Errorf("told %d times", told.Load())
		}
	})
}

// What several names of a set have in common is told once.
func TestToldTogether(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		told := 0
		r.addresses("web", sec, "10.0.0.1")
		r.Watch(newSet("web:80", "web:81", "web:82"), func() { told++ })
		synctest.Wait()
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}
