package behaviour

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"tcp-proxy/internal/testkit"
	"tcp-proxy/tests/harness"
)

// A limit of one direction, and the flow that it bounds.
type bound struct {
	direction string
	rate      int
}

func (b bound) app(target *harness.Target) harness.App {
	limit := harness.BytesPerSecond{Upload: b.rate}
	if b.direction == "download" {
		limit = harness.BytesPerSecond{Download: b.rate}
	}
	return harness.App{Targets: harness.To(target), BytesPerSecond: &limit}
}

// ends opens a session: who sends, and who receives at the rate.
func (b bound) ends(p *harness.Proxy, target *harness.Target) (from, to *harness.Conn) {
	client, server := p.Session(target)
	if b.direction == "download" {
		return server, client
	}
	return client, server
}

// endless opens a session in which bytes come until it is closed, and counts those that have arrived.
func (b bound) endless(p *harness.Proxy, target *harness.Target) (count *atomic.Int64, done <-chan error) {
	from, to := b.ends(p, target)
	go harness.WritePattern(from, harness.NewPattern(1), 1<<40, harness.NewChunks(65536, 1000))
	return counted(to, 1)
}

// fastest returns the number of bytes a second that arrived in the best of many seconds. The first in which enough
// arrived is the last. Meanwhile it calls check again and again.
func fastest(count *atomic.Int64, enough float64, check func()) (best float64) {
	for begin := time.Now(); best < enough && time.Since(begin) < harness.Timeout/3; {
		then, at := count.Load(), time.Now()
		for range 50 {
			time.Sleep(20 * time.Millisecond)
			check()
		}
		best = max(best, float64(count.Load()-then)/time.Since(at).Seconds())
	}
	return best
}

// counted reads from c to its end, counts, and checks what comes.
func counted(c *harness.Conn, seed uint64) (*atomic.Int64, <-chan error) {
	count, done := &atomic.Int64{}, make(chan error, 1)
	go func() {
		pattern, got, want := harness.NewPattern(seed), make([]byte, 64<<10), make([]byte, 64<<10)
		for {
			n, err := c.Read(got)
			pattern.Read(want[:n])
			if string(got[:n]) != string(want[:n]) {
				done <- fmt.Errorf("what came before byte %d is not what was sent", count.Load()+int64(n))
				return
			}
			count.Add(int64(n))
			if err != nil {
				if err == io.EOF {
					err = nil
				}
				done <- err
				return
			}
		}
	}()
	return count, done
}

// No byte comes before its time, whatever the sender does; and they come as fast as they may. What has arrived is read
// before the clock is: so more than may have is never seen by mistake. That less comes may be the machine's fault, and
// then a later second will do.
func TestBytesPerSecond(t *testing.T) {
	for _, b := range []bound{{"upload", 39}, {"download", 100}, {"upload", 20_000}, {"download", 1 << 20}, {"upload", 16 << 20}, {"download", 64 << 20}} {
		t.Run(fmt.Sprintf("%s_%d", b.direction, b.rate), func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) {
				r := harness.New(t, engine)
				target := r.Listen()
				p := r.StartApp(b.app(target))
				begin := time.Now()
				count, done := b.endless(p, target)
				check := func() {
					arrived := count.Load()
					after := time.Since(begin)
					if most := 1.1 * float64(b.rate) * max(1, after.Seconds()); float64(arrived) > most {
						t.Fatalf("%d bytes after %v, at most %.0f may have come", arrived, after, most)
					}
				}
				if want := 0.9 * float64(b.rate); fastest(count, want, check) < want {
					free, _ := b.endless(r.StartApp(harness.App{Targets: harness.To(target)}), target)
					if all := fastest(free, float64(b.rate), func() {}); all < float64(b.rate) {
						t.Skipf("the machine is too busy: %.0f bytes a second without a limit", all)
					}
					t.Errorf("in no second of %v came 90 %% of the bytes that may", time.Since(begin))
				}
				select {
				case err := <-done:
					t.Errorf("the session has ended: %v", err)
				default:
				}
			})
		})
	}
}

// What is held back is not lost: after it the end of the stream comes, and the other direction was not slowed.
func TestBytesPerSecondToTheEnd(t *testing.T) {
	for _, b := range []bound{{"upload", 200_000}, {"download", 200_000}} {
		t.Run(b.direction, func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) {
				const length, free = 500_000, 50_000_000
				r := harness.New(t, engine)
				target := r.Listen()
				p := r.StartApp(b.app(target))
				begin := time.Now()
				from, to := b.ends(p, target)
				slow, slowDone := counted(to, 1)
				sent := make(chan error, 1)
				go func() {
					err := harness.WritePattern(from, harness.NewPattern(1), length, harness.NewChunks(65536))
					if err == nil {
						err = from.Finish()
					}
					sent <- err
				}()
				go harness.WritePattern(to, harness.NewPattern(2), free, harness.NewChunks(65536)) // or the end fails
				if err := harness.VerifyPattern(from, harness.NewPattern(2), free, harness.NewChunks(65536)); err != nil {
					t.Fatal(err)
				}
				for _, done := range []<-chan error{sent, slowDone} {
					if err := <-done; err != nil {
						t.Fatal(err)
					}
				}
				took := time.Since(begin)
				if n := slow.Load(); n != length {
					t.Errorf("%d bytes came, want %d", n, length)
				}
				if least := time.Duration(float64(length) / (1.1 * float64(b.rate)) * float64(time.Second)); took < least {
					t.Errorf("all came within %v, which takes %v", took, least)
				}
				to.CloseWrite()
				from.ExpectEOF()
				if record := p.Records(1)[0]; record.BytesUp+record.BytesDown != length+free {
					t.Errorf("record %+v", record)
				}
			})
		})
	}
}

// Each session has its own limit.
func TestBytesPerSecondIsOfOneSession(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const sessions, rate, length = 8, 100_000, 200_000
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(harness.App{Targets: harness.To(target), BytesPerSecond: &harness.BytesPerSecond{Upload: rate, Download: 10 * rate}})
		begin := time.Now()
		done := make(chan error, sessions)
		for range sessions {
			client, server := p.Session(target)
			go harness.WritePattern(client, harness.NewPattern(1), length, harness.NewChunks(65536)) // or done fails
			go func() { done <- harness.VerifyPattern(server, harness.NewPattern(1), length, harness.NewChunks(65536)) }()
		}
		for range sessions {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		took := time.Since(begin)
		if most := 1.1 * rate * took.Seconds(); length > most {
			t.Errorf("%d bytes of each came within %v, at most %.0f may have", length, took, most)
		}
		if all := sessions * length / took.Seconds(); all < 2*rate {
			t.Errorf("%.0f bytes a second in %d sessions: they share the limit", all, sessions)
		}
	})
}

// While bytes are held back the proxy sleeps.
func TestHoldingBytesBackCostsLittle(t *testing.T) {
	for _, rates := range []harness.BytesPerSecond{{Upload: 1024, Download: 1024}, {Upload: 100, Download: 1}} {
		t.Run(fmt.Sprint(rates.Upload), func(t *testing.T) { holdBack(t, rates) })
	}
}

func holdBack(t *testing.T, rates harness.BytesPerSecond) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const sessions = 20
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(harness.App{Targets: harness.To(target), BytesPerSecond: &rates})
		for range sessions {
			client, server := p.Session(target)
			go harness.WritePattern(client, harness.NewPattern(1), 1<<40, harness.NewChunks(65536)) // until it is closed
			go harness.WritePattern(server, harness.NewPattern(2), 1<<40, harness.NewChunks(65536))
			counted(client, 2)
			counted(server, 1)
		}
		time.Sleep(time.Second) // buffers are full
		testkit.ExpectUsage(t, p.PID(), 2*time.Second, testkit.Usage{CPU: 400 * time.Millisecond, Wakeups: 16_000})
	})
}

// A flow that is held back is not idle, and a session that is over in the meantime is over at once.
func TestHeldBackSessions(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		app := harness.App{Targets: harness.To(target), IdleTimeout: "1s", BytesPerSecond: &harness.BytesPerSecond{Upload: 2048}}
		p := r.StartApp(app)
		client, server := p.Session(target)
		client.Send(harness.Bytes(1, 8192))
		server.Expect(harness.Bytes(1, 8192)) // takes four seconds
		server.Exchange(client, []byte{1})

		client.Send(harness.Bytes(1, 8192))
		client.Abort()
		server.ExpectReset()
		p.ExpectCause(client, "client_reset")

		client, server = p.Session(target)
		client.Send(harness.Bytes(1, 8192))
		server.Abort()
		client.ExpectReset()
		p.ExpectCause(client, "target_reset")

		client, server = p.Session(target)
		client.Send(harness.Bytes(1, 8192))
		p.Settle()
		if code := p.Stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		client.ExpectReset()
		server.ExpectReset()
	})
}
