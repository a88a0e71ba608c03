package behaviour

import (
	"testing"

	"tcp-proxy/tests/harness"
)

// Every point at which one side of a session can be reset. The first of the two ends is the one that resets; each test
// runs with the client as the first, and with the target. The other end has to see a reset, never EOF in its place.
var resets = []struct {
	name string
	run  func(t *testing.T, first, second *harness.Conn)
}{
	{"before any byte", func(t *testing.T, first, second *harness.Conn) {
		first.Abort()
		second.ExpectReset()
	}},
	{"after an exchange", func(t *testing.T, first, second *harness.Conn) {
		first.Exchange(second, harness.Bytes(1, 100_000))
		second.Exchange(first, harness.Bytes(2, 100_000))
		first.Abort()
		second.ExpectReset()
	}},
	{"in the middle of a transfer", func(t *testing.T, first, second *harness.Conn) {
		first.Exchange(second, harness.Bytes(1, 100_000))
		first.Send(harness.Bytes(2, 100_000))
		first.Abort()
		second.ExpectReset()
	}},
	{"while bytes come from the other side", func(t *testing.T, first, second *harness.Conn) {
		second.Send(harness.Bytes(2, 100_000))
		first.Abort()
		second.ExpectReset()
	}},
	{"while the other side does not read and all buffers are full", func(t *testing.T, first, second *harness.Conn) {
		first.Fill(harness.NewPattern(1))
		first.Abort()
		second.AwaitReset()
	}},
	{"while it does not read itself and all buffers are full", func(t *testing.T, first, second *harness.Conn) {
		second.Fill(harness.NewPattern(1))
		first.Abort()
		second.AwaitReset()
	}},
	{"while nobody reads and all buffers are full", func(t *testing.T, first, second *harness.Conn) {
		first.Fill(harness.NewPattern(1))
		second.Fill(harness.NewPattern(2))
		first.Abort()
		second.AwaitReset()
	}},
	{"after it has finished", func(t *testing.T, first, second *harness.Conn) {
		first.Exchange(second, harness.Bytes(1, 1000))
		first.CloseWrite()
		second.ExpectEOF()
		first.Abort()
		second.AwaitReset()
	}},
	{"after it has finished and all buffers are full", func(t *testing.T, first, second *harness.Conn) {
		first.CloseWrite()
		second.ExpectEOF()
		second.Fill(harness.NewPattern(2))
		first.Abort()
		second.AwaitReset()
	}},
	{"after the other side has finished", func(t *testing.T, first, second *harness.Conn) {
		first.Exchange(second, harness.Bytes(1, 1000))
		second.CloseWrite()
		first.ExpectEOF()
		first.Abort()
		second.ExpectReset()
	}},
	{"after the other side has finished and all buffers are full", func(t *testing.T, first, second *harness.Conn) {
		second.CloseWrite()
		first.ExpectEOF()
		first.Fill(harness.NewPattern(1))
		first.Abort()
		second.AwaitReset()
	}},
}

func TestReset(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, reset := range resets {
			for _, who := range []string{"client", "target"} {
				t.Run(who+" "+reset.name, func(t *testing.T) {
					t.Parallel()
					r := harness.New(t, engine)
					p, target := transports[0].start(r, harness.App{})
					client, server := p.Session(target)
					p.Settle() // a reset while it connects would be a target that failed
					if who == "client" {
						reset.run(t, client, server)
					} else {
						reset.run(t, server, client)
					}
					p.ExpectCause(client, who+"_reset")
				})
			}
		}
	})
}

// A target that takes connections and resets them at once is alive, however early the reset comes: the connect
// succeeded.
func TestResetAtOnceIsNotARefusal(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		resetter := r.Resetter()
		p := r.StartApp(harness.App{Targets: harness.To(resetter)})
		for range 50 {
			if record := p.RecordOfAddress(r.ExpectRefusal(p.Address())); record.Cause != "target_reset" {
				t.Errorf("cause = %s, want target_reset", record.Cause)
			}
		}
		if n := p.Log.Count(harness.Warning(resetter.Address)); n != 0 {
			t.Errorf("%d warnings about the target, want none", n)
		}
	})
}

// Over unix sockets there is no reset to send; the kernel makes one of a close with unread bytes (unix(7)). Whoever is
// left still learns of the end, and the session is over.
func TestUnixSideGoesAway(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, tr := range transports[1:] {
			for _, who := range []string{"client", "target"} {
				t.Run(who+" of "+tr.String(), func(t *testing.T) {
					t.Parallel()
					r := harness.New(t, engine)
					p, target := tr.start(r, harness.App{})
					client, server := p.Session(target)
					first, second := client, server
					if who == "target" {
						first, second = server, client
					}
					first.Exchange(second, harness.Bytes(1, 1000))
					second.Fill(harness.NewPattern(2))
					first.Close() // with unread bytes
					harness.Eventually(t, "a write fails", func() bool {
						_, err := second.Write(harness.Bytes(2, 1000))
						return err != nil
					})
					if record := p.Records(1)[0]; record.Cause != who+"_reset" {
						t.Errorf("cause = %s, want %s_reset", record.Cause, who)
					}
				})
			}
		}
	})
}
