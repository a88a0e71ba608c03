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

// A change is delivered at once, and those that follow soon after it together: each delivery makes the set look at all its
// targets.
func TestDeliveriesAreRateLimited(t *testing.T) {
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
		var delivered atomic.Int64
		s := newSet(names...)
		r.Subscribe(s, func() { delivered.Add(1) })
		r.Await(t.Context(), s)
		if len(s.All()) < n*9/10 { // some have the same address
			t.Errorf("%d targets are known after the first answers", len(s.All()))
		}
		synctest.Wait()
		delivered.Store(0)
		time.Sleep(10 * sec)
		synctest.Wait()
		if n := delivered.Load(); n < 10 || n > 101 {
			t.Errorf("delivered %d times in 10s, want ten a second at most", n)
		}
		// A single change is delivered at once.
		for i := range n {
			r.addresses(fmt.Sprintf("web-%d", i), time.Hour, "10.0.0.1")
		}
		r.addresses("web-0", 5*sec, "10.0.0.1")
		time.Sleep(4 * sec)
		r.addresses("web-0", time.Hour, "10.0.0.2")
		synctest.Wait()
		for delivered.Store(0); delivered.Load() == 0; time.Sleep(time.Millisecond) {
			synctest.Wait()
			if r.now() > time.Minute {
				t.Fatal("the change is not delivered")
			}
		}
		if n := len(s.All()); n != 2 {
			t.Errorf("%d targets", n)
		}
		// Nothing is delivered to a set that was unsubscribed.
		r.addresses("web-1", sec, "10.0.0.1")
		r.Unsubscribe(s)
		delivered.Store(0)
		time.Sleep(2 * time.Hour)
		if delivered.Load() != 0 || len(r.subscribers) != 0 {
			t.Errorf("delivered %d times", delivered.Load())
		}
	})
}

// A change of several names of a set is one delivery.
func TestOneDeliveryForAllNames(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		delivered := 0
		r.addresses("web", sec, "10.0.0.1")
		r.Subscribe(newSet("web:80", "web:81", "web:82"), func() { delivered++ })
		synctest.Wait()
		if delivered != 1 {
			t.Errorf("delivered %d times", delivered)
		}
	})
}
