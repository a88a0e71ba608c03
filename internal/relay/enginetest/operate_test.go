package enginetest

import (
	"io"
	"testing"

	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// The sessions of one target end, and no others.
func TestEndTarget(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
		kept := []stream{}
		client, server := r.session()
		kept = append(kept, client, server)

		other := listen(r.T, "tcp")
		defer other.Close()
		x := r.setRoute(nil, addressOf(other)).Targets.All()[0]
		var ended []stream
		for range 3 {
			client := r.dial()
			server, err := other.Accept()
			if err != nil {
				r.Fatal(err)
			}
			ended = append(ended, client, r.adopt(server))
			r.exchange(ended[len(ended)-2], ended[len(ended)-1], 10)
		}
		r.engine.EndTarget(x, relay.TargetDead)
		for _, c := range ended {
			r.expectReset(c)
		}
		for range 3 {
			r.expectCause(relay.TargetDead)
		}
		if n := x.Sessions(); n != 0 {
			r.Errorf("the target still has %d sessions", n)
		}
		r.exchange(kept[0], kept[1], 10)
		r.finish(kept[0], kept[1])
	})
}

// A sample brings the counters of the app and of the target up to date while a session is open; and when it is over, every
// byte has been counted once.
// Those of PROXY headers are none of the session's.
func TestMeter(t *testing.T) {
	m := meter.NewApp()
	total := [2]int64{}
	change := func(r *relay.Route) { r.Meter, r.ProxyFrom, r.SendProxy = m, anywhere, 2 }
	eachTransport(t, change, func(r *rig) {
		const up, down = 3_000_001, 1_000_003
		client := r.dial()
		io.WriteString(client, greeting(1))
		server := r.accept()
		io.ReadFull(server, make([]byte, len(greeting(2))))
		r.exchange(client, server, up)
		r.exchange(server, client, down)
		total[0], total[1] = total[0]+up, total[1]+down
		// What the peer's kernel has acknowledged may be known a little later.
		testkit.Eventually(r.T, "all is counted", func() bool {
			r.engine.Sample()
			gotUp, gotDown := m.Bytes()
			if gotUp > total[0] || gotDown > total[1] {
				r.Fatalf("%d bytes up and %d down, of %v", gotUp, gotDown, total)
			}
			to := r.targets()[0].Condition()
			return gotUp == total[0] && gotDown == total[1] && to.Upload == up && to.Download == down
		})
		if n := m.Active(); n != 1 {
			r.Errorf("%d sessions are active", n)
		}
		client.CloseWrite()
		r.expectEOF(server)
		r.engine.Sample()
		r.exchange(server, client, down)
		total[1] += down
		server.CloseWrite()
		r.expectEOF(client)
		r.expectCause(relay.ClientClosed)
		if gotUp, gotDown := m.Bytes(); gotUp != total[0] || gotDown != total[1] {
			r.Errorf("%d bytes up and %d down, want %v", gotUp, gotDown, total)
		}
		if to := r.targets()[0].Condition(); to.Upload != up || to.Download != 2*down {
			r.Errorf("%d bytes to the target and %d from it, want %d and %d", to.Upload, to.Download, up, 2*down)
		}
		if n := m.Active(); n != 0 {
			r.Errorf("%d sessions are active", n)
		}
	})
}
