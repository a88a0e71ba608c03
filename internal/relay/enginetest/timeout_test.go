package enginetest

import (
	"io"
	"sync"
	"testing"
	"time"

	"tcp-proxy/internal/relay"
)

// A session that is quiet for too long ends, and one that has a byte now and then does not. All at the same time,
// because they take their time.
func TestQuietSessionsEnd(t *testing.T) {
	const limit = time.Second
	eachEngine(t, func(t *testing.T, e engine) {
		var all sync.WaitGroup
		for cause, change := range map[relay.Cause]func(*relay.Route){
			relay.IdleTimeout:      func(r *relay.Route) { r.IdleTimeout = limit },
			relay.HalfCloseTimeout: func(r *relay.Route) { r.HalfCloseTimeout, r.IdleTimeout = limit, time.Hour },
		} {
			for _, x := range transports {
				r := newRig(t, e, x[0], x[1], change)
				client, server := r.session()
				if cause == relay.HalfCloseTimeout {
					server.CloseWrite()
					r.expectEOF(client)
				}
				all.Go(func() {
					sent, last, err := trickle(client, server, 2*limit)
					if err != nil {
						t.Errorf("%s, %v: after %d bytes of a trickle: %v", cause, x, sent, err)
					}
					rec := <-r.ended
					if rec.Cause != cause || rec.Upload != sent {
						t.Errorf("%v: %+v, want %s after %d bytes", x, rec, cause, sent)
					}
					if took := time.Since(last); took < limit*9/10 {
						t.Errorf("%s, %v: after %v", cause, x, took)
					}
				})
			}
		}
		all.Wait()
	})
}

// trickle sends a byte now and then, in one direction. It returns how many, and when the last one set out.
func trickle(from, to stream, d time.Duration) (sent int64, last time.Time, err error) {
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for begun := time.Now(); time.Since(begun) < d; <-pause.C {
		last = time.Now()
		if _, err := from.Write([]byte("x")); err != nil {
			return sent, last, err
		}
		if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
			return sent, last, err
		}
		sent++
	}
	return sent, last, nil
}

// The time-out of a half-closed session means nothing before that.
func TestHalfCloseTimeoutOfAnOpenSession(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.HalfCloseTimeout = 100 * time.Millisecond }, func(r *rig) {
		client, server := r.session()
		time.Sleep(200 * time.Millisecond)
		r.exchange(client, server, 10)
		server.CloseWrite()
		r.expectEOF(client)
		r.expectCause(relay.HalfCloseTimeout)
		r.expectReset(server)
	})
}

// The time-out of a half-closed session runs from the end of a side, not from the last byte before it. An idle time-out
// that is shorter comes first all the same.
func TestHalfCloseTimeoutBeginsWithTheEnd(t *testing.T) {
	const limit = 500 * time.Millisecond
	eachTransport(t, func(r *relay.Route) { r.HalfCloseTimeout = limit }, func(r *rig) {
		client, server := r.session()
		r.exchange(client, server, 10)
		time.Sleep(limit) // quiet, which counts for nothing
		finished := time.Now()
		server.CloseWrite()
		r.expectEOF(client)
		r.expectCause(relay.HalfCloseTimeout)
		if took := time.Since(finished); took < limit*9/10 {
			r.Errorf("the session ends %v after a side has finished", took)
		}
		r.expectReset(server)

		r.setRoute(func(route *relay.Route) { route.HalfCloseTimeout, route.IdleTimeout = time.Hour, limit }, addressOf(r.target))
		client, server = r.session()
		server.CloseWrite()
		r.expectEOF(client)
		r.expectCause(relay.IdleTimeout)
	})
}
