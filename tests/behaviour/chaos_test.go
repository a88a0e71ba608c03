package behaviour

import (
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// wild does to a connection whatever a peer may do, in an order that the seed says, and leaves it in some state. Errors
// are what the other end has done.
func wild(c *harness.Conn, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	buffer := make([]byte, 200_000)
	for range random.IntN(8) {
		switch random.IntN(6) {
		case 0, 1:
			_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = c.Write(buffer[:1+random.IntN(len(buffer))])
		case 2, 3:
			_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = c.Read(buffer[:1+random.IntN(len(buffer))])
		case 4:
			time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
		case 5:
			_ = c.Finish()
		}
	}
	switch random.IntN(4) {
	case 0:
		_ = c.Break()
	case 1:
		_ = c.Finish()
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	default:
		c.Close()
	}
}

// wildOnes runs that many clients against targets that are as wild, some of them at a time.
func wildOnes(r *harness.Rig, p *harness.Proxy, sessions int) {
	var all sync.WaitGroup
	for worker := range 20 {
		all.Go(func() {
			for i := worker; i < sessions; i += 20 {
				if c, err := r.TryDial(p.Address()); err == nil {
					wild(c, uint64(i))
				}
			}
		})
	}
	all.Wait()
}

func wildTarget(r *harness.Rig) *harness.Target {
	var mu sync.Mutex
	seed := uint64(1_000_000)
	return r.Serve(func(c *harness.Conn) {
		mu.Lock()
		seed++
		mine := seed
		mu.Unlock()
		wild(c, mine)
	})
}

// Whatever peers do, every session ends, has one record, and leaves nothing behind.
func TestChaos(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := wildTarget(r), wildTarget(r)
		p := r.StartApp(harness.App{Targets: harness.To(a, b)})
		const sessions = 600
		wildOnes(r, p, sessions)
		for _, record := range p.Records(sessions) {
			switch record.Cause {
			case "client_closed", "target_closed", "client_reset", "target_reset":
			default:
				t.Errorf("record %+v", record)
			}
		}
		if n := len(p.RecordsNow()); n != sessions || a.Accepted() > sessions/2 || b.Accepted() > sessions/2 {
			t.Errorf("%d sessions, %d records, %d and %d connections to targets", sessions, n, a.Accepted(), b.Accepted())
		}
	})
}

// The same while the proxy runs out of descriptors again and again.
func TestChaosWithoutDescriptors(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target, calm := wildTarget(r), r.Echo()
		p := r.Start(harness.Config{Apps: []harness.App{
			{Name: "wild", Targets: harness.To(target)},
			{Name: "calm", Targets: harness.To(calm)},
		}})
		// A session that was there before suffers nothing.
		client := r.Dial(p.AddressOf(1))
		client.Exchange(client, harness.Bytes(1, 1000))
		for round := range 6 {
			restore := p.LeaveDescriptors(round * 4)
			wildOnes(r, p, 40)
			client.Exchange(client, harness.Bytes(uint64(round), 50_000))
			restore()
		}
		end(p, client)
		harness.Eventually(t, "the port serves again", func() bool {
			n := target.Accepted()
			c, err := r.TryDial(p.Address())
			if err != nil {
				return false
			}
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = c.Read(make([]byte, 1))
			return target.Accepted() > n
		})
		dead := func(line harness.Line) bool { return line.Fields["event"] == "target_dead" }
		if n := p.Log.Count(dead); n > 0 {
			t.Errorf("%d times a target is dead that has refused nothing", n)
		}
	})
}

// A proxy that is told to stop while all this goes on does so.
func TestStopInChaos(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, drain := range []string{"0s", "300ms"} {
			r := harness.New(t, engine)
			p := r.Start(harness.Config{DrainTimeout: drain, Apps: []harness.App{{Targets: harness.To(wildTarget(r))}}})
			var clients sync.WaitGroup
			clients.Go(func() { wildOnes(r, p, 400) })
			p.Records(100)
			p.Signal(syscall.SIGTERM)
			expectExit(t, p)
			clients.Wait()
			for _, record := range p.RecordsNow() {
				if record.Cause == "internal" {
					t.Errorf("record %+v", record)
				}
			}
		}
	})
}
