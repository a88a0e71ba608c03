package enginetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Every byte arrives, both ways at once, in whatever pieces it is sent.
func TestCarries(t *testing.T) {
	const buffer = 64 << 10 // of the engine that has one
	eachTransport(t, nil, func(r *rig) {
		for _, each := range []int{1, 63, 4097, buffer - 1, buffer, buffer + 1, 1 << 20} {
			client, server := r.session()
			n := min(each*1000, 6<<20+1)
			upload := func() error {
				return both(func() error { return send(client, 1, n, each) }, func() error { return receive(server, 1, n) })
			}
			download := func() error {
				return both(func() error { return send(server, 2, n, each) }, func() error { return receive(client, 2, n) })
			}
			if err := both(upload, download); err != nil {
				r.Fatalf("pieces of %d: %v", each, err)
			}
			rec := r.finish(client, server)
			if rec.Upload != int64(n) || rec.Download != int64(n) || rec.Err != nil {
				r.Errorf("record %+v, want %d bytes each way", rec, n)
			}
			if rec.App != "test" || rec.Port != "port" || rec.Attempts != 1 || rec.Target != addressOf(r.target).String() {
				r.Errorf("record %+v", rec)
			}
			if wantUnix := client.LocalAddr().Network() == "unix"; strings.HasPrefix(rec.Client, "unix:") != wantUnix {
				r.Errorf("client %q", rec.Client)
			}
		}
	})
}

// A client whose socket takes little at a time gets every byte too.
func TestSmallSendBuffer(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, network := range []string{"tcp", "unix"} {
			for _, n := range []int{150_000, 3_000_000} {
				t.Run(fmt.Sprintf("%s %d", network, n), func(t *testing.T) {
					r := newRig(t, e, network, "tcp", nil)
					err := r.engine.Control(r.port, func(fd int) error {
						return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 8192)
					})
					if err != nil {
						t.Fatal(err)
					}
					client, server := r.session()
					client.(interface{ SetReadBuffer(int) error }).SetReadBuffer(32 << 10)
					err = both(func() error { return send(server, 1, n, 4096) }, func() error {
						time.Sleep(50 * time.Millisecond) // until what goes in is in
						return receive(client, 1, n)
					})
					if err != nil {
						t.Fatal(err)
					}
					r.finish(client, server)
				})
			}
		}
	})
}
