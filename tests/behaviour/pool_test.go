package behaviour

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tcp-proxy/tests/harness"
)

// full matches the warning that the pool is full.
func full(line harness.Line) bool {
	return line.Level == "warning" && strings.Contains(line.Raw, "worker")
}

func TestPoolIsFull(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.Start(harness.Config{MaxWorkers: 2, Apps: []harness.App{{Targets: harness.To(target)}}})
		sessions := 0
		for episode := 1; episode <= 2; episode++ {
			var clients, servers []*harness.Conn
			for range 2 {
				client, server := p.Session(target)
				client.Exchange(server, harness.Bytes(1, 100))
				clients, servers = append(clients, client), append(servers, server)
			}
			// The kernel takes the third: its connect succeeds, and it may send.
			third := p.Dial()
			third.Send(harness.Bytes(3, 5000))
			if episode == 1 {
				harness.Eventually(t, "the warning that the pool is full", func() bool { return p.Log.Count(full) == 1 })
			}
			time.Sleep(200 * time.Millisecond) // for what shall not happen
			if n := target.Accepted(); n != sessions+2 {
				t.Fatalf("%d connections came to the target, want %d: the third client has to wait", n, sessions+2)
			}
			// The two in the pool are as alive as ever.
			clients[1].Exchange(servers[1], harness.Bytes(2, 100_000))

			clients[0].Close()
			servers[0].Close()
			server := target.Accept()
			server.Expect(harness.Bytes(3, 5000))
			for _, c := range []*harness.Conn{clients[1], servers[1], third, server} {
				c.Close()
			}
			sessions += 3
			p.Records(sessions)
			// What repeats soon may be left out.
			if n := p.Log.Count(full); n > episode {
				t.Errorf("%d warnings in %d episodes", n, episode)
			}
		}
	})
}

// Everyone who waits is served in the end, and the pool is never larger than it may be.
func TestPoolServesAllWhoWait(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		var active atomic.Int64
		peak := make(chan int64, 1000)
		target := r.Serve(func(c *harness.Conn) {
			peak <- active.Add(1)
			defer active.Add(-1)
			name := make([]byte, 4)
			if n, err := c.Read(name); err != nil || n != 4 {
				return
			}
			time.Sleep(20 * time.Millisecond) // so that the sessions overlap
			_, _ = c.Write(name)
		})
		ports := []any{r.Address(), r.Address(), r.Address()}
		p := r.Start(harness.Config{MaxWorkers: 4, Apps: []harness.App{{Ports: ports, Targets: harness.To(target)}}})
		const sessions = 60
		var g errgroup.Group
		for i := range sessions {
			g.Go(func() error {
				client, err := r.TryDial(ports[i%3].(string))
				if err != nil {
					return err
				}
				defer client.Close()
				if _, err := client.Write([]byte("name")); err != nil {
					return err
				}
				answer, err := io.ReadAll(client)
				if err == nil && string(answer) != "name" {
					err = fmt.Errorf("the answer is %q", answer)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		p.Records(sessions)
		close(peak)
		for n := range peak {
			// The proxy may have closed a session before the handler at the other end has returned.
			if n > 2*4 {
				t.Errorf("%d sessions at the same time from a pool of 4", n)
			}
		}
	})
}

// A port that nobody talks to holds no worker.
func TestIdlePortsHoldNoWorker(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		ports := make([]any, 8)
		for i := range ports {
			ports[i] = r.Address()
		}
		p := r.Start(harness.Config{MaxWorkers: 1, Apps: []harness.App{{Ports: ports, Targets: harness.To(target)}}})
		for i := range 2 * len(ports) {
			client := r.Dial(ports[(i*5)%len(ports)].(string))
			server := target.Accept()
			client.Exchange(server, harness.Bytes(1, 100))
			client.Close()
			server.Close()
			p.Records(i + 1)
		}
	})
}

// A client that gives up while it waits is let go, and the next one is served.
func TestClientGivesUpWaiting(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.Start(harness.Config{MaxWorkers: 1, Apps: []harness.App{{Targets: harness.To(target)}}})
		client, server := p.Session(target)
		client.Exchange(server, harness.Bytes(1, 100))
		impatient := p.Dial()
		impatient.Abort()
		patient := p.Dial()
		patient.Send(harness.Bytes(2, 100))
		client.Close()
		server.Close()
		for {
			server := target.Accept()
			got := make([]byte, 100)
			if n, _ := server.Read(got); n == 100 {
				break
			}
			server.Close() // the impatient one
		}
	})
}
