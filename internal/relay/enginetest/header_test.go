package enginetest

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

var (
	anywhere = admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")})
	theirs   = netip.MustParseAddrPort("192.0.2.7:4711")
	door     = netip.MustParseAddrPort("192.0.2.1:443")
)

func greeting(version int) string {
	return headerOf(version, proxyproto.Header{Source: theirs, Destination: door})
}

func headerOf(version int, names proxyproto.Header) string {
	b, err := proxyproto.Append(nil, version, names)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// namesOf is what a target is to be told of a client.
func namesOf(c stream) proxyproto.Header {
	if c.LocalAddr().Network() == "unix" {
		return proxyproto.Header{Local: true}
	}
	return proxyproto.Header{Source: addrPort(c.LocalAddr()), Destination: addrPort(c.RemoteAddr())}
}

// A header that is due is taken, however it comes, and not a byte of what is behind it.
func TestHeaderIsTaken(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.ProxyFrom = anywhere }, func(r *rig) {
		for _, version := range []int{1, 2} {
			for _, each := range []int{1, 5, 1 << 10} {
				client := r.dial()
				both := greeting(version) + "behind it"
				for both != "" {
					n := min(each, len(both))
					if _, err := io.WriteString(client, both[:n]); err != nil {
						r.Fatal(err)
					}
					both = both[n:]
					if each > 1 {
						time.Sleep(time.Millisecond)
					}
				}
				server := r.accept()
				got := make([]byte, len("behind it"))
				if _, err := io.ReadFull(server, got); err != nil || string(got) != "behind it" {
					r.Fatalf("%q, %v", got, err)
				}
				r.exchange(client, server, 200_000)
				r.exchange(server, client, 200_000)
				rec := r.finish(client, server)
				if rec.Client != theirs.String() || rec.Peer != nameOf(client) || rec.Upload != 200_009 || rec.Download != 200_000 {
					r.Errorf("%+v", rec)
				}
			}
		}
	})
}

// nameOf is how a record names the client of a connection.
func nameOf(c stream) string {
	if c.LocalAddr().Network() == "unix" {
		return "unix:"
	}
	return c.LocalAddr().String()
}

// A header that names nobody leaves the client who it is.
func TestHeaderThatNamesNobody(t *testing.T) {
	eachTCP(t, func(r *relay.Route) { r.ProxyFrom = anywhere }, func(r *rig) {
		for _, version := range []int{1, 2} {
			client := r.dial()
			io.WriteString(client, headerOf(version, proxyproto.Header{Local: true}))
			server := r.accept()
			r.exchange(client, server, 10)
			if rec := r.finish(client, server); rec.Client != nameOf(client) || rec.Peer != "" {
				r.Errorf("%+v", rec)
			}
		}
	})
}

// Who is not asked for a header is a client like any other, whatever it sends.
func TestHeaderOfOthersIsTheirs(t *testing.T) {
	elsewhere := admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	eachTCP(t, func(r *relay.Route) { r.ProxyFrom = elsewhere }, func(r *rig) {
		client, server := r.session()
		client.Write([]byte(greeting(1)))
		got := make([]byte, len(greeting(1)))
		if _, err := io.ReadFull(server, got); err != nil || string(got) != greeting(1) {
			r.Errorf("%q, %v", got, err)
		}
		if rec := r.finish(client, server); rec.Client != nameOf(client) || rec.Peer != "" {
			r.Errorf("%+v", rec)
		}
	})
}

// A client that has to begin with a header and does not is reset, and no target hears of it.
func TestHeaderThatIsNone(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.ProxyFrom, r.ProxyTimeout = anywhere, 500*time.Millisecond }, func(r *rig) {
		for what, begin := range map[string]func(c stream){
			"something else":        func(c stream) { io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") },
			"a bad header":          func(c stream) { io.WriteString(c, "PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n") },
			"FIN":                   func(c stream) { c.CloseWrite() },
			"FIN after half of it":  func(c stream) { io.WriteString(c, greeting(1)[:20]); c.CloseWrite() },
			"half of it, and never": func(c stream) { io.WriteString(c, greeting(2)[:20]) },
			"nothing, ever":         func(stream) {},
		} {
			client := r.dial()
			begin(client)
			r.expectReset(client)
			rec := r.expectCause(relay.ProxyHeader)
			if rec.Err == nil || !strings.HasPrefix(rec.Err.Error(), "PROXY protocol: ") || rec.Attempts != 0 || rec.Client != nameOf(client) {
				r.Fatalf("%s: %+v", what, rec)
			}
			if late := strings.Contains(rec.Err.Error(), "within 500ms"); late != strings.Contains(what, "ever") {
				r.Errorf("%s: %v", what, rec.Err)
			}
		}
	})
}

// A session ends while it waits for a header, too.
func TestEndBeforeTheHeader(t *testing.T) {
	eachTCP(t, func(r *relay.Route) { r.ProxyFrom, r.ProxyTimeout = anywhere, testkit.Timeout }, func(r *rig) {
		client := r.dial()
		io.WriteString(client, "PROXY ")
		testkit.Eventually(r.T, "it is accepted", func() bool { return r.workers.Busy() == 1 })
		testkit.Reset(client)
		r.expectCause(relay.ClientReset)

		client = r.dial()
		testkit.Eventually(r.T, "it ends", func() bool {
			r.engine.End(relay.Stopped) // which may come before it is accepted
			return len(r.ended) > 0
		})
		r.expectReset(client)
		r.expectCause(relay.Stopped)
	})
}

// A header may be as long as the protocol lets it be.
func TestLongHeader(t *testing.T) {
	eachTCP(t, func(r *relay.Route) { r.ProxyFrom, r.ProxyTimeout = anywhere, testkit.Timeout }, func(r *rig) {
		for _, extra := range []int{300, 20_000, 65_000} {
			header := []byte(greeting(2))
			size := len(header) - 16 + 3 + extra
			header[14], header[15] = byte(size>>8), byte(size)
			header = append(header, 4, byte(extra>>8), byte(extra)) // PP2_TYPE_NOOP
			header = append(header, make([]byte, extra)...)
			client := r.dial()
			if _, err := client.Write(header); err != nil {
				r.Fatal(err)
			}
			server := r.accept()
			r.exchange(client, server, 100_000)
			if rec := r.finish(client, server); rec.Client != theirs.String() || rec.Upload != 100_000 {
				r.Errorf("%+v", rec)
			}
		}
	})
}

// A target that is to have a header gets it at once and before anything else, and it counts for nothing.
func TestHeaderIsSent(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, version := range []int{1, 2} {
			e.eachTransport(t, func(r *relay.Route) { r.SendProxy = version }, func(r *rig) {
				client, server := r.session()
				want := headerOf(version, namesOf(client))
				got := make([]byte, len(want))
				if _, err := io.ReadFull(server, got); err != nil || string(got) != want {
					r.Fatalf("%q, %v, want %q", got, err, want)
				}
				r.exchange(server, client, 100_000)
				r.exchange(client, server, 100_000)
				if rec := r.finish(client, server); rec.Upload != 100_000 || rec.Download != 100_000 {
					r.Errorf("%+v", rec)
				}
			})
		}
	})
}

// A client that has reset before its target is told of it is named all the same, or the target hears nothing.
func TestHeaderOfAClientThatHasReset(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, version := range []int{1, 2} {
			for _, targets := range []string{"unix", "tcp"} {
				t.Run(fmt.Sprintf("version %d to %s", version, targets), func(t *testing.T) {
					r := newRig(t, e, "tcp", targets, func(r *relay.Route) { r.SendProxy = version })
					heard := make(chan string, 1024)
					server := testkit.ServeOn(t, r.target, func(c net.Conn) {
						text, _ := io.ReadAll(c) // which ends with a reset, mostly
						heard <- string(text)
					})
					const clients = 50
					may := map[string]bool{"": true}
					release := r.take()
					for range clients {
						client := r.dial()
						may[headerOf(version, namesOf(client))] = true
						io.WriteString(client, "request")
						testkit.Reset(client)
					}
					release()
					for range clients {
						r.expectCause(relay.ClientReset)
					}
					server.Close()
					close(heard)
					for text := range heard {
						if header := strings.TrimSuffix(text, "request"); !may[header] {
							t.Fatalf("the target is sent %q", text)
						}
					}
				})
			}
		}
	})
}

// What the client sends at once comes behind the header.
func TestHeaderComesFirst(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.SendProxy = 1 }, func(r *rig) {
		for range 20 {
			client := r.dial()
			go send(client, 1, 300_000, 1000)
			server := r.accept()
			want := headerOf(1, namesOf(client))
			got := make([]byte, len(want))
			if _, err := io.ReadFull(server, got); err != nil || string(got) != want {
				r.Fatalf("%q, %v, want %q", got, err, want)
			}
			if err := receive(server, 1, 300_000); err != nil {
				r.Fatal(err)
			}
			if rec := r.finish(client, server); rec.Upload != 300_000 {
				r.Errorf("%+v", rec)
			}
		}
	})
}

// What a header says of the client is handed on.
func TestHeaderIsHandedOn(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.ProxyFrom, r.SendProxy = anywhere, 2 }, func(r *rig) {
		client := r.dial()
		io.WriteString(client, greeting(1)+"x")
		server := r.accept()
		got := make([]byte, len(greeting(2))+1)
		if _, err := io.ReadFull(server, got); err != nil || string(got) != greeting(2)+"x" {
			r.Errorf("%q, %v", got, err)
		}
		r.finish(client, server)
	})
}

// A target that resets as soon as it is connected to has reset, whether its header could be written or not.
func TestResetBeforeTheHeader(t *testing.T) {
	eachTCP(t, func(r *relay.Route) { r.SendProxy = 1 }, func(r *rig) {
		for range 20 {
			client := r.dial()
			testkit.Reset(r.accept())
			r.expectReset(client)
			r.expectCause(relay.TargetReset)
		}
	})
}
