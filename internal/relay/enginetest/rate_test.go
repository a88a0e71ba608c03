package enginetest

import (
	"fmt"
	"io"
	"testing"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// Bytes flow no faster than they may, each way for itself, and all arrive. Those of a side that has finished go on
// flowing, and however long that takes, the session is not idle.
func TestRate(t *testing.T) {
	const up, down = 400_000, 2_000_000 // a second
	eachTransport(t, func(r *relay.Route) {
		r.Upload, r.Download = up, down
		r.IdleTimeout, r.HalfCloseTimeout = 300*time.Millisecond, 300*time.Millisecond
	}, func(r *rig) {
		client, server := r.session()
		begun := time.Now()
		oneWay := func(from, to stream, seed byte, rate int) error {
			return both(func() error {
				err := send(from, seed, rate/2, 50_000)
				from.CloseWrite()
				return err
			}, func() error {
				err := receive(&slow{Reader: to, begun: begun, rate: rate}, seed, rate/2)
				r.expectEOF(to)
				return err
			})
		}
		err := both(func() error { return oneWay(client, server, 1, up) }, func() error { return oneWay(server, client, 2, down) })
		if err != nil {
			r.Fatal(err)
		}
		r.Logf("half a second's worth took %v", time.Since(begun))
		if rec := r.record(); rec.Upload != up/2 || rec.Download != down/2 || rec.Err != nil {
			r.Errorf("%+v", rec)
		}
	})
}

// A rate of a few bytes is kept like any other: all arrive, none too early, and what is behind the last one too.
func TestRateOfFewBytes(t *testing.T) {
	const up, down = 100, 3 // a second
	eachTransport(t, func(r *relay.Route) {
		r.Upload, r.Download = up, down
		r.IdleTimeout, r.HalfCloseTimeout = 300*time.Millisecond, 300*time.Millisecond
	}, func(r *rig) {
		client, server := r.session()
		begun := time.Now()
		oneWay := func(from, to stream, seed byte, rate, n int) error {
			if err := send(from, seed, n, n); err != nil {
				return err
			}
			from.CloseWrite()
			if err := receive(&slow{Reader: to, begun: begun, rate: rate}, seed, n); err != nil {
				return err
			}
			r.expectEOF(to)
			return nil
		}
		err := both(func() error { return oneWay(client, server, 1, up, 60) }, func() error { return oneWay(server, client, 2, down, 4) })
		if err != nil {
			r.Fatal(err)
		}
		r.Logf("it took %v", time.Since(begun))
		if rec := r.record(); rec.Upload != 60 || rec.Download != 4 || rec.Err != nil {
			r.Errorf("%+v", rec)
		}
	})
}

// slow wants that not more has been read at any time than may have come since it began: the rate, and a tenth of a
// second's worth at once, or two bytes.
type slow struct {
	io.Reader
	begun time.Time
	rate  int
	got   int
}

func (x *slow) Read(p []byte) (int, error) {
	n, err := x.Reader.Read(p)
	x.got += n
	if most := float64(x.rate)*(time.Since(x.begun).Seconds()+0.1) + 2; float64(x.got) > most {
		return n, fmt.Errorf("%d bytes after %v at %d bytes a second", x.got, time.Since(x.begun), x.rate)
	}
	return n, err
}

// A session that waits for its rate is not quiet, however long it waits; when it has nothing more to wait for, it is.
func TestPacedSessionIsNotQuiet(t *testing.T) {
	eachTCP(t, func(r *relay.Route) { r.Upload, r.IdleTimeout = 2, 500*time.Millisecond }, func(r *rig) {
		release := r.take()
		client := r.dial()
		if err := send(client, 1, 5, 5); err != nil {
			r.Fatal(err)
		}
		release()
		if err := receive(r.accept(), 1, 5); err != nil {
			r.Fatal(err)
		}
		if rec := r.expectCause(relay.IdleTimeout); rec.Duration < 1500*time.Millisecond {
			r.Errorf("%+v", rec)
		}
	})
}

// What has not moved does not count: little at a time goes at once.
func TestPaceOfLittleAtATime(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.Upload, r.Download = 10_000, 10_000 }, func(r *rig) {
		client, server := r.session()
		for range 800 {
			r.exchange(client, server, 10)
			r.exchange(server, client, 10)
		}
		r.finish(client, server)
	})
}

// A flow whose rate leaves nothing to do is not deaf: the session ends when it is told to, and when a side resets.
func TestEndOfAPacedSession(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, cause := range []relay.Cause{relay.Stopped, relay.ClientReset, relay.TargetReset} {
			t.Run(string(cause), func(t *testing.T) {
				r := newRig(t, e, "tcp", "tcp", func(r *relay.Route) { r.Upload, r.Download = 1024, 1024 })
				client, server := r.session()
				both(func() error { return send(client, 1, 20_000, 20_000) }, func() error { return send(server, 1, 20_000, 20_000) })
				if err := receive(server, 1, 10); err != nil {
					r.Fatal(err)
				}
				switch cause {
				case relay.Stopped:
					r.engine.End(cause)
				case relay.ClientReset:
					testkit.Reset(client)
				case relay.TargetReset:
					testkit.Reset(server)
				}
				if rec := r.expectCause(cause); rec.Upload > 10_000 || rec.Download > 10_000 {
					r.Errorf("%+v", rec)
				}
			})
		}
	})
}

// A rate costs no splicing.
func TestPacedSessionIsSpliced(t *testing.T) {
	const n = 20_000_000
	eachTCP(t, func(r *relay.Route) { r.Upload = n }, func(r *rig) {
		before := testkit.CountDescriptors(r.T, "pipe")
		client, server := r.session()
		moved := make(chan error, 1)
		go func() {
			moved <- both(func() error { return send(client, 1, n, 1<<20) }, func() error { return receive(server, 1, n) })
		}()
		testkit.Eventually(r.T, "a pipe is seen", func() bool { return testkit.CountDescriptors(r.T, "pipe") >= before+2 })
		if err := <-moved; err != nil {
			r.Fatal(err)
		}
		r.finish(client, server)
	})
}
