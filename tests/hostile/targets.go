package hostile

import (
	"io"
	"time"

	"tcp-proxy/tests/harness"
	"tcp-proxy/tests/peers"
)

// roughTargets starts one hostile target of each kind and returns their addresses.
func (s *scene) roughTargets() (list []any) {
	for _, handle := range []func(*harness.Conn){
		closeAtOnce, resetAtOnce, resetAfterSome, holdAll, babble, finishFirst, urgentAnswer,
	} {
		list = append(list, s.rig.Serve(handle).Address)
	}
	return append(list, s.rig.Refuse(), s.rig.Blackhole(), s.flapping().Address)
}

// closeAtOnce accepts and closes: unread bytes of the client make this a reset.
func closeAtOnce(*harness.Conn) {}

// resetAtOnce accepts, and resets.
func resetAtOnce(c *harness.Conn) { abort(c.Conn) }

// resetAfterSome reads a little first.
func resetAfterSome(c *harness.Conn) {
	_, _ = io.CopyN(io.Discard, c, 10)
	abort(c.Conn)
}

// holdAll accepts and does nothing.
func holdAll(c *harness.Conn) { peers.AwaitEnd(c.Conn) }

// babble sends much that was not requested, and closes.
func babble(c *harness.Conn) { _, _ = c.Write(make([]byte, 300_000)) }

// finishFirst finishes without sending, and reads to the end.
func finishFirst(c *harness.Conn) {
	_ = c.Finish()
	_, _ = io.Copy(io.Discard, c)
}

// urgentAnswer sends urgent data, the last just before the end.
func urgentAnswer(c *harness.Conn) {
	for range 3 {
		_, _ = c.Write([]byte("answer"))
		_ = outOfBand(c.Conn)
	}
	_ = c.Finish()
	_, _ = io.Copy(io.Discard, c)
}

// flapping starts a target that stops and starts listening all the time, until the test ends.
func (s *scene) flapping() *harness.Target {
	target := s.rig.Serve(func(c *harness.Conn) { _, _ = io.Copy(c.Conn, c); _ = c.Finish() })
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		there := true
		for tick := time.NewTicker(30 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
			if there {
				target.Leave()
			} else {
				target.Restart()
			}
			there = !there
		}
	}()
	s.rig.T.Cleanup(func() { close(stop); <-stopped })
	return target
}
