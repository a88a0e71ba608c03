package behaviour

import (
	"testing"

	"golang.org/x/sync/errgroup"

	"tcp-proxy/tests/harness"
)

// megabytes is more than fits into the buffers of a socket that nobody reads.
const megabytes = 3<<20 + 5

// stream sends a pattern from one end and verifies it at the other.
func stream(t *testing.T, from, to *harness.Conn, seed uint64) {
	t.Helper()
	var g errgroup.Group
	g.Go(func() error {
		return harness.WritePattern(from, harness.NewPattern(seed), megabytes, harness.NewChunks(77777))
	})
	g.Go(func() error {
		return harness.VerifyPattern(to, harness.NewPattern(seed), megabytes, harness.NewChunks(55555))
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Every way in which the two sides of a session can finish in order. The first of the two ends is the one that the
// test is about; each test runs with the client as the first, and with the target.
var endings = []struct {
	name string
	run  func(t *testing.T, first, second *harness.Conn)
	both bool // the two finish at the same time: either cause will do
}{
	{name: "before any byte", run: func(t *testing.T, first, second *harness.Conn) {
		first.CloseWrite()
		second.ExpectEOF()
		stream(t, second, first, 1)
		second.CloseWrite()
		first.ExpectEOF()
	}},
	{name: "after an exchange", run: func(t *testing.T, first, second *harness.Conn) {
		first.Exchange(second, harness.Bytes(1, 4000))
		second.Exchange(first, harness.Bytes(2, 5000))
		first.CloseWrite()
		second.ExpectEOF()
		stream(t, second, first, 3)
		second.CloseWrite()
		first.ExpectEOF()
	}},
	{name: "behind unread bytes", run: func(t *testing.T, first, second *harness.Conn) {
		sent := first.Fill(harness.NewPattern(1))
		first.CloseWrite()
		stream(t, second, first, 2)
		if err := harness.VerifyAll(second, harness.NewPattern(1), sent, harness.NewChunks(33333)); err != nil {
			t.Fatal(err)
		}
		second.CloseWrite()
		first.ExpectEOF()
	}},
	{name: "while the other side streams", run: func(t *testing.T, first, second *harness.Conn) {
		sent := second.Fill(harness.NewPattern(1))
		first.CloseWrite()
		second.ExpectEOF()
		second.CloseWrite()
		if err := harness.VerifyAll(first, harness.NewPattern(1), sent, harness.NewChunks(33333)); err != nil {
			t.Fatal(err)
		}
	}},
	{name: "and both close at once", run: func(t *testing.T, first, second *harness.Conn) {
		first.CloseWrite()
		second.ExpectEOF()
		second.Close()
		first.ExpectEOF()
	}},
	{name: "both at the same time", both: true, run: func(t *testing.T, first, second *harness.Conn) {
		var g errgroup.Group
		g.Go(first.Finish)
		g.Go(second.Finish)
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		first.ExpectEOF()
		second.ExpectEOF()
	}},
}

func TestHalfClose(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, tr := range transports {
			t.Run(tr.String(), func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				p, target := tr.start(r, harness.App{})
				sessions := 0
				for _, ending := range endings {
					for _, who := range []string{"client", "target"} {
						t.Run(who+" "+ending.name, func(t *testing.T) {
							first, second := p.Session(target)
							client, server := first, second
							if who == "target" {
								first, second = second, first
							}
							ending.run(t, first, second)
							sessions++
							// Both have finished, so the session is over before either of them closes.
							record := p.Records(sessions)[sessions-1]
							if want := who + "_closed"; record.Cause != want && !ending.both {
								t.Errorf("cause = %s, want %s", record.Cause, want)
							}
							if record.Cause != "client_closed" && record.Cause != "target_closed" {
								t.Errorf("cause = %s", record.Cause)
							}
							client.Close()
							server.Close()
						})
					}
				}
			})
		}
	})
}

// A client that closes for good instead of half-way looks the same to the proxy, until somebody sends it a byte: then
// its kernel answers with a reset, which the target has to see.
func TestFullClose(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, who := range []string{"client", "target"} {
			t.Run(who, func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				p, target := transports[0].start(r, harness.App{})
				client, server := p.Session(target)
				first, second := client, server
				if who == "target" {
					first, second = server, client
				}
				first.Exchange(second, harness.Bytes(1, 100))
				first.Close()
				second.ExpectEOF()
				harness.Eventually(t, "a write fails", func() bool {
					_, err := second.Write(harness.Bytes(2, 100))
					return err != nil
				})
				p.ExpectCause(client, who+"_reset")
			})
		}
	})
}
