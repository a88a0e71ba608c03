package admin

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
)

// A rendering is served for a while, and for longer the more it costs.
func TestPicturesAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken, cost := 0, time.Duration(0)
		p := newRenderings(func() proxy.Snapshot {
			taken++
			time.Sleep(cost)
			return proxy.Snapshot{Version: taken}
		}, "")
		shows := func(want int, what string) {
			t.Helper()
			for i := range 20 {
				if _, err := p.render([]view{statusView, metricsView}[i%2], i%4 < 2); err != nil {
					t.Error(err)
				}
			}
			if taken != want {
				t.Errorf("%s: %d snapshots were taken, want %d", what, taken, want)
			}
		}
		shows(1, "the first who ask")
		time.Sleep(renderingAge)
		shows(1, "after a while")
		time.Sleep(time.Millisecond)
		shows(2, "when it is old")
		p.invalidate()
		shows(3, "when something has changed")

		cost = time.Second
		p.invalidate()
		shows(4, "an expensive one")
		time.Sleep(renderingShare*cost - cost)
		shows(4, "an expensive one, after a while")
		time.Sleep(time.Millisecond)
		shows(5, "an expensive one when it is old")
	})
}

// A view is rendered once for all requests of a short time.
func TestPicturesAreShared(t *testing.T) {
	var taken atomic.Int32
	p := newRenderings(func() proxy.Snapshot {
		time.Sleep(time.Duration(taken.Add(1)) * 10 * time.Millisecond) // all others come meanwhile, or soon after
		return proxy.Snapshot{}
	}, "")
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if _, err := p.render([]view{statusView, metricsView}[i%2], i%4 < 2); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("%d snapshots for 100 who ask at a time", n)
	}
}

func TestSqueezeLosesNothing(t *testing.T) {
	plain := bytes.Repeat([]byte("tcp_proxy_target_up 1\n"), 10000)
	z, err := gzip.NewReader(bytes.NewReader(compress(plain)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%d bytes of %d come back: %v", len(got), len(plain), err)
	}
}

func TestAcceptIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimitedListener(&failing{}, config.Port{}, newLimiter(1))
		leave := func() { // as http.Server does with who was cut off
			for range len(l.limiter.slots) {
				<-l.limiter.slots
			}
		}
		begun := time.Now()
		for range acceptBurst + 2*acceptsPerSecond {
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
			leave()
		}
		if took := time.Since(begun); took < 2*time.Second-50*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		l.limiter.closeAll()
	})
}
