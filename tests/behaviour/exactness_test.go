package behaviour

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tcp-proxy/tests/harness"
)

// bothWays sends a pattern each way at the same time and verifies both, up to EOF.
func bothWays(client, server *harness.Conn, up, down int64, writes, reads []int) error {
	var g errgroup.Group
	send := func(c *harness.Conn, seed uint64, n int64) func() error {
		return func() error {
			if err := harness.WritePattern(c, harness.NewPattern(seed), n, harness.NewChunks(writes...)); err != nil {
				return err
			}
			return c.Finish()
		}
	}
	verify := func(c *harness.Conn, seed uint64, n int64) func() error {
		return func() error {
			return harness.VerifyAll(c, harness.NewPattern(seed), n, harness.NewChunks(reads...))
		}
	}
	g.Go(send(client, 1, up))
	g.Go(send(server, 2, down))
	g.Go(verify(server, 1, up))
	g.Go(verify(client, 2, down))
	return g.Wait()
}

func TestGigabyteEachWay(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 2 GiB")
	}
	harness.EachEngineAlone(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p, target := transports[0].start(r, harness.App{})
		client, server := p.Session(target)
		for _, c := range []*harness.Conn{client, server} {
			if err := c.SetDeadline(time.Now().Add(5 * harness.Timeout)); err != nil {
				t.Fatal(err)
			}
		}
		const up, down = 1<<30 + 1, 1<<30 + 7919
		writes := []int{131071, 1, 262147, 65537, 9973, 524309}
		reads := []int{262147, 65539, 131101}
		if err := bothWays(client, server, up, down, writes, reads); err != nil {
			t.Fatal(err)
		}
		if record := p.RecordOf(client); record.BytesUp != up || record.BytesDown != down {
			t.Errorf("the record says %d up and %d down, not %d and %d", record.BytesUp, record.BytesDown, up, down)
		}
	})
}

func TestEveryChunkSize(t *testing.T) {
	sizes := []int{1, 2, 3, 7, 63, 511, 513, 1447, 1448, 1449, 4095, 4096, 4097, 16384, 32767, 32768, 32769, 65535, 65536, 65537, 131072, 1<<20 - 1, 1<<20 + 1}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, tr := range transports {
			t.Run(tr.String(), func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				p, target := tr.start(r, harness.App{})
				for _, size := range sizes {
					client, server := p.Session(target)
					total := min(int64(size)*300, 3<<20) + int64(size)%5
					if err := bothWays(client, server, total, total/2+1, []int{size}, []int{size + 1, 4099}); err != nil {
						t.Fatalf("chunks of %d bytes: %v", size, err)
					}
					client.Close()
					server.Close()
				}
				p.Records(len(sizes))
			})
		}
	})
}

func TestOneByteAtATime(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		echo := r.Echo()
		p := r.StartApp(harness.App{Targets: harness.To(echo)})
		client := p.Dial()
		for i, b := range harness.Bytes(3, 1000) {
			client.Send([]byte{b})
			got := make([]byte, 1)
			if _, err := client.Read(got); err != nil || got[0] != b {
				t.Fatalf("byte %d = %d, %v; want %d", i, got[0], err, b)
			}
		}
		client.CloseWrite()
		client.ExpectEOF()
	})
}

// Both directions of a session are full and nobody reads; then all of it arrives.
func TestBothDirectionsFull(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, tr := range transports {
			t.Run(tr.String(), func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				p, target := tr.start(r, harness.App{})
				client, server := p.Session(target)
				up := client.Fill(harness.NewPattern(1))
				down := server.Fill(harness.NewPattern(2))
				client.CloseWrite()
				server.CloseWrite()
				var g errgroup.Group
				g.Go(func() error {
					return harness.VerifyAll(server, harness.NewPattern(1), up, harness.NewChunks(40009))
				})
				g.Go(func() error {
					return harness.VerifyAll(client, harness.NewPattern(2), down, harness.NewChunks(40009))
				})
				if err := g.Wait(); err != nil {
					t.Fatal(err)
				}
				if record := p.Records(1)[0]; record.BytesUp != up || record.BytesDown != down {
					t.Errorf("the record says %d up and %d down, not %d and %d", record.BytesUp, record.BytesDown, up, down)
				}
			})
		}
	})
}

// A reader that falls behind slows the writer down, and loses nothing.
func TestSlowReader(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, up := range []bool{true, false} {
			t.Run(fmt.Sprintf("up=%v", up), func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				p, target := transports[0].start(r, harness.App{})
				reader, writer := p.Session(target)
				if up {
					reader, writer = writer, reader
				}
				const total = 24<<20 + 13
				var g errgroup.Group
				g.Go(func() error {
					if err := harness.WritePattern(writer, harness.NewPattern(1), total, harness.NewChunks(100003)); err != nil {
						return err
					}
					return writer.Finish()
				})
				g.Go(func() error {
					pattern, chunks := harness.NewPattern(1), harness.NewChunks(10007, 70001)
					for done := int64(0); done < total; {
						n := min(total-done, 256<<10)
						if err := harness.VerifyPattern(reader, pattern, n, chunks); err != nil {
							return err
						}
						done += n
						time.Sleep(5 * time.Millisecond) // being slow is the point
					}
					return nil
				})
				if err := g.Wait(); err != nil {
					t.Fatal(err)
				}
				reader.ExpectEOF()
			})
		}
	})
}

// Bytes that come one by one, with pauses, arrive one by one: nothing waits for more.
func TestSlowWriter(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, tr := range transports {
			t.Run(tr.String(), func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				p, target := tr.start(r, harness.App{})
				client, server := p.Session(target)
				data := harness.Bytes(1, 600)
				for i := 0; i < len(data); i += 3 {
					client.Exchange(server, data[i:i+1])
					server.Exchange(client, data[i+1:i+3])
					time.Sleep(2 * time.Millisecond) // being slow is the point
				}
				client.CloseWrite()
				server.ExpectEOF()
			})
		}
	})
}
