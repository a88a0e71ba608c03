package behaviour

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// self is where clients that Dial come from.
const self = "127.0.0.1"

// trusting is an app whose clients on the hosts have to begin with a PROXY header.
func trusting(target *harness.Target, timeout string, hosts ...string) harness.App {
	return harness.App{Targets: harness.To(target), AcceptProxyProtocol: &harness.AcceptProxyProtocol{From: hosts, Timeout: timeout}}
}

// checkHeaderRecord wants the record of a session of this client to name who the header has named.
func checkHeaderRecord(t *testing.T, p *harness.Proxy, h header, client *harness.Conn, up, down int) {
	t.Helper()
	real := client.LocalAddr().String()
	named, peer := h.client, real
	if named == "" {
		named, peer = real, ""
	}
	var record harness.Record
	harness.Eventually(t, "the record of "+real, func() bool {
		for _, record = range p.RecordsNow() {
			if record.Peer == real || record.Client == real {
				return true
			}
		}
		return false
	})
	if record.Client != named || record.Peer != peer || record.Cause != "client_closed" {
		t.Errorf("client = %s, peer = %q, cause = %s; want %s, %q", record.Client, record.Peer, record.Cause, named, peer)
	}
	if record.BytesUp != int64(up) || record.BytesDown != int64(down) { // of the stream alone
		t.Errorf("%d bytes up and %d down, want %d and %d", record.BytesUp, record.BytesDown, up, down)
	}
}

// However a header comes, the target gets what follows it and nothing else.
func TestProxyHeader(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(trusting(target, "1m", self))
		for _, h := range append(headers, longest) {
			for name, send := range map[string]func(c *harness.Conn, header string, payload []byte){
				"with the first bytes": func(c *harness.Conn, header string, payload []byte) {
					c.Send(append([]byte(header), payload...))
				},
				"before the first bytes": func(c *harness.Conn, header string, payload []byte) {
					c.Send([]byte(header))
					time.Sleep(5 * time.Millisecond) // or it may come with them
					c.Send(payload)
				},
				"in two parts": func(c *harness.Conn, header string, payload []byte) {
					c.Send([]byte(header[:len(header)/2]))
					time.Sleep(5 * time.Millisecond)
					c.Send(append([]byte(header[len(header)/2:]), payload...))
				},
			} {
				payload := harness.Bytes(1, 3000)
				client := p.Dial()
				send(client, h.text, payload)
				server := target.Accept()
				server.Expect(payload)
				server.Exchange(client, harness.Bytes(2, 500))
				client.CloseWrite()
				server.ExpectEOF()
				server.CloseWrite()
				client.ExpectEOF()
				client.Close()
				checkHeaderRecord(t, p, h, client, len(payload), 500)
				if t.Failed() {
					t.Fatalf("header %q, %s", h.name, name)
				}
			}
		}
	})
}

// A header that comes byte by byte is a header.
func TestProxyHeaderByteByByte(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(trusting(target, "1m", self))
		for _, h := range headers {
			if len(h.text) > 300 {
				continue
			}
			before, payload := target.Accepted(), harness.Bytes(1, 10)
			client := p.Dial()
			for _, b := range []byte(h.text[:len(h.text)-1]) {
				client.Send([]byte{b}) // TCP_NODELAY is on: a segment each
				time.Sleep(100 * time.Microsecond)
			}
			if target.Accepted() != before {
				t.Fatalf("header %q: the target is connected before it is whole", h.name)
			}
			client.Send([]byte{h.text[len(h.text)-1]})
			server := target.Accept()
			for _, b := range payload {
				client.Exchange(server, []byte{b})
			}
			client.CloseWrite()
			server.ExpectEOF()
			server.CloseWrite()
			client.ExpectEOF()
			checkHeaderRecord(t, p, h, client, len(payload), 0)
		}
	})
}

// Many small segments of the longest header do not fill the buffers of the kernel before it is whole.
func TestLongestProxyHeaderInSmallPieces(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(trusting(target, "1m", self))
		client := p.Dial()
		for rest := longest.text; rest != ""; {
			n := min(len(rest), 64)
			client.Send([]byte(rest[:n]))
			rest = rest[n:]
		}
		client.Exchange(target.Accept(), harness.Bytes(1, 100_000))
	})
}

// Whoever is not trusted to send a header is a plain client, and what looks like a header is its own.
func TestProxyHeaderOfOthersIsTheirs(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(trusting(target, "1m", r.AnotherHost(), "2001:db8::/32"))
		for _, h := range headers[:6] {
			client, server := p.Session(target) // it need not send anything
			client.Exchange(server, []byte(h.text+"payload"))
			client.CloseWrite()
			server.ExpectEOF()
			server.CloseWrite()
			client.ExpectEOF()
			if record := p.ExpectCause(client, "client_closed"); record.Peer != "" || record.BytesUp != int64(len(h.text)+7) {
				t.Errorf("record %+v", record)
			}
		}
	})
}

// Clients of a unix socket cannot be told apart: if anybody is trusted to send a header, they all have to.
func TestProxyHeaderOnAUnixSocket(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		app := trusting(target, "1m", "192.0.2.1")
		app.Ports = []any{"unix:" + r.Path("port.sock")}
		p := r.StartApp(app)
		for i, h := range headers {
			client := p.Dial()
			client.Send([]byte(h.text + "payload"))
			server := target.Accept()
			server.Expect([]byte("payload"))
			server.Exchange(client, harness.Bytes(1, 1000))
			client.CloseWrite()
			server.ExpectEOF()
			server.CloseWrite()
			client.ExpectEOF()
			named, peer := h.client, "unix:"
			if named == "" {
				named, peer = "unix:", ""
			}
			if record := p.Records(i + 1)[i]; record.Client != named || record.Peer != peer || record.BytesUp != 7 {
				t.Errorf("header %q: record %+v", h.name, record)
			}
		}
		client := p.Dial()
		client.Send([]byte("payload"))
		if record := p.Records(len(headers) + 1)[len(headers)]; record.Cause != "proxy_header" {
			t.Errorf("record %+v", record)
		}
	})
}

// A target that speaks first is connected when the header is there.
func TestProxyHeaderAndATargetThatSpeaksFirst(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Identify("it")
		p := r.StartApp(trusting(target, "1m", self))
		for _, h := range headers {
			client := p.Dial()
			client.Send([]byte(h.text))
			if name, err := client.Name(); err != nil || name != "it" {
				t.Fatalf("header %q: %q, %v", h.name, name, err)
			}
		}
	})
}

// A client that says nothing but the header and finishes is a session with no bytes.
func TestProxyHeaderAndNothing(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(trusting(target, "1m", self))
		for _, h := range headers {
			client := p.Dial()
			client.Send([]byte(h.text))
			client.CloseWrite()
			server := target.Accept()
			server.ExpectEOF()
			server.Exchange(client, harness.Bytes(1, 1000))
			server.CloseWrite()
			client.ExpectEOF()
			client.Close()
			checkHeaderRecord(t, p, h, client, 0, 1000)
		}
	})
}

// What can no longer become a header ends the session at once, and no target hears of it.
func TestNoProxyHeader(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(trusting(target, "1h", self))
		for _, text := range []string{
			"GET / HTTP/1.1\r\n", "\x16\x03\x01\x02\x00", "SSH-2.0-x\r\n", "PROXY\r\n", "PROXY TCP5", "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
			"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
			"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY UNKNOWN " + strings.Repeat("x", 100),
			"\r\n\r\n\x00\r\nQUIT\n\x11", binaryHeader(0x22, 0x11, strings.Repeat("x", 12)), binaryHeader(0x21, 0x41, "x"), binaryHeader(0x21, 0x11, "short"),
		} {
			client := p.Dial()
			client.Send([]byte(text))
			client.ExpectReset()
			record := p.ExpectCause(client, "proxy_header")
			if record.Attempts != 0 || record.Target != "" || record.BytesUp != 0 || !strings.Contains(record.Error, "PROXY protocol") {
				t.Errorf("%q: record %+v", text, record)
			}
		}
		if n := target.Accepted(); n != 0 {
			t.Errorf("%d connections to the target", n)
		}
	})
}

// A client that does not finish its header ends with it: when it closes, or when its time is over, not before.
func TestProxyHeaderThatStaysAway(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		const timeout = 500 * time.Millisecond
		p := r.StartApp(trusting(target, timeout.String(), self))
		for _, part := range []string{"", "P", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", headers[5].text[:20], longest.text[:60_000]} {
			begin := time.Now()
			client := p.Dial()
			client.Send([]byte(part))
			client.ExpectReset()
			if took := time.Since(begin); took < timeout {
				t.Errorf("ended after %v", took)
			}
			if record := p.ExpectCause(client, "proxy_header"); !strings.Contains(record.Error, timeout.String()) {
				t.Errorf("error = %q", record.Error)
			}
		}
		p.Reload(harness.Config{Apps: []harness.App{withPort(trusting(target, "1h", self), p)}})
		for _, part := range []string{"", "PROXY TCP4 1.2.3.4", headers[5].text[:20]} {
			client := p.Dial()
			client.Send([]byte(part))
			client.CloseWrite()
			client.ExpectReset()
			p.ExpectCause(client, "proxy_header")
			client = p.Dial()
			client.Send([]byte(part))
			client.Abort()
			if record := p.RecordOf(client); record.Cause != "client_reset" && record.Cause != "proxy_header" {
				t.Errorf("cause = %s of a client that reset", record.Cause)
			}
		}
		if n := target.Accepted(); n != 0 {
			t.Errorf("%d connections to the target", n)
		}
	})
}

// withPort is the app on the port that the proxy has.
func withPort(app harness.App, p *harness.Proxy) harness.App {
	app.Ports = []any{p.Address()}
	return app
}

// The time for the header is over when it is there: a session may be quiet for longer.
func TestProxyHeaderTimeoutIsForTheHeader(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(trusting(target, "300ms", self))
		client := p.Dial()
		client.Send([]byte(headers[0].text))
		server := target.Accept()
		time.Sleep(700 * time.Millisecond)
		client.Exchange(server, harness.Bytes(1, 1000))
		server.Exchange(client, harness.Bytes(2, 1000))
	})
}

// A stop does not wait for headers.
func TestStopWhileAHeaderIsAwaited(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.StartApp(trusting(r.Listen(), "1h", self))
		client := p.Dial()
		client.Send([]byte("PROXY TCP4 "))
		harness.Eventually(t, "the client is accepted", func() bool {
			open, _ := p.Descriptors()
			return open > p.DescriptorsAtReady()
		})
		if code := p.Stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		client.ExpectReset()
		p.ExpectCause(client, "stopped")
	})
}

// Networks, limits and the choice of a target go by the address that the header gave.
func TestPolicyGoesByTheHeader(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Identify("it")
		app := trusting(target, "1m", self)
		app.Allow, app.Deny, app.MaxSessionsPerSource = []string{"192.0.2.0/24", "2001:db8::/32"}, []string{"192.0.2.66"}, 1
		p := r.StartApp(app)
		come := func(source string) *harness.Conn {
			t.Helper()
			destination := "203.0.113.9:443"
			if netip.MustParseAddrPort(source).Addr().Is6() {
				destination = "[2001:db8::9]:443"
			}
			client := p.Dial()
			client.Send([]byte(headerV2(source, destination)))
			return client
		}
		in := func(source string) {
			t.Helper()
			if name, err := come(source).Name(); err != nil || name != "it" {
				t.Fatalf("%s: %q, %v", source, name, err)
			}
		}
		out := func(source, cause, reason string) {
			t.Helper()
			client := come(source)
			client.ExpectReset()
			if record := p.RecordOfAddress(source); record.Cause != cause || record.Refused != reason || record.Peer != client.LocalAddr().String() {
				t.Fatalf("record %+v, want %s and %s", record, cause, reason)
			}
		}
		in("192.0.2.1:1")
		in("192.0.2.2:1")
		out("192.0.2.1:2", "limited", "max_sessions_per_source")
		out("192.0.2.66:1", "denied", "denied")
		out("198.51.100.1:1", "denied", "denied")
		in("[2001:db8:0:1::1]:1")
		out("[2001:db8:0:1:ffff::9]:1", "limited", "max_sessions_per_source") // the same /64
		in("[2001:db8:0:2::1]:1")
		out("[2001:db9::1]:1", "denied", "denied")
		// Without an address in the header it is the sender's own that counts, and that is not allowed.
		client := p.Dial()
		client.Send([]byte("PROXY UNKNOWN\r\n"))
		client.ExpectReset()
		p.ExpectCause(client, "denied")
	})
}

// With source_hash a client finds its target through whichever proxy it comes.
func TestSourceHashGoesByTheHeader(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		var targets []any
		for i := range 5 {
			targets = append(targets, r.Identify(fmt.Sprint(i)).Address)
		}
		first, second := r.AnotherHost(), r.AnotherHost()
		p := r.StartApp(harness.App{Targets: targets, Balance: "source_hash", AcceptProxyProtocol: &harness.AcceptProxyProtocol{From: []string{first, second}}})
		seen := map[string]bool{}
		for i := range 20 {
			var names [2]string
			for j, host := range []string{first, second} {
				client := r.DialFrom(host, p.Address())
				client.Send([]byte(headerV1(fmt.Sprintf("192.0.2.%d:%d", i, 1000+j), "203.0.113.9:443")))
				name, err := client.Name()
				if err != nil {
					t.Fatal(err)
				}
				names[j] = name
				client.Close()
			}
			if names[0] != names[1] {
				t.Errorf("client %d was taken to %s, and over another proxy to %s", i, names[0], names[1])
			}
			seen[names[0]] = true
		}
		if len(seen) < 3 {
			t.Errorf("20 clients were taken to %d of 5 targets", len(seen))
		}
	})
}

// sentHeader is what a target is sent in that version for a session between the two addresses; "" for a unix socket.
func sentHeader(version, source, destination string) string {
	switch {
	case source == "" && version == "v1":
		return "PROXY UNKNOWN\r\n"
	case source == "":
		return binaryHeader(0x20, 0)
	case version == "v1":
		return headerV1(source, destination)
	}
	return headerV2(source, destination)
}

// A target that is sent a header gets it first and once, with who the client is and where it has connected to, and then
// what the client sends.
func TestSendProxyProtocol(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) {
				r := harness.New(t, engine)
				tcp, unix := r.Listen(), r.ListenAt("unix:"+r.Path("target.sock"))
				six, all := fmt.Sprintf("[::1]:%d", r.SharedPort()), r.SharedPort()
				ports := []string{r.Address(), six, fmt.Sprint(all), "unix:" + r.Path("port.sock")}
				dial := []string{ports[0], six, fmt.Sprintf("%s:%d", r.Host, all), ports[3]}
				for i, target := range []*harness.Target{tcp, unix} {
					app := harness.App{Targets: harness.To(target), SendProxyProtocol: version}
					for _, port := range ports {
						app.Ports = append(app.Ports, port)
					}
					p := r.StartApp(app)
					for n, address := range dial {
						client := r.Dial(address)
						source := ""
						if client.LocalAddr().Network() == "tcp" {
							source = client.LocalAddr().String()
						}
						server := target.Accept()
						server.Expect([]byte(sentHeader(version, source, address)))
						client.Exchange(server, harness.Bytes(1, 100_000))
						server.Exchange(client, harness.Bytes(2, 100_000))
						client.CloseWrite()
						server.ExpectEOF()
						server.CloseWrite()
						client.ExpectEOF()
						if record := p.Records(n + 1)[n]; record.BytesUp != 100_000 || record.BytesDown != 100_000 || record.Cause != "client_closed" {
							t.Errorf("target %d, port %s: record %+v", i, address, record)
						}
					}
					p.Stop()
				}
			})
		})
	}
}

// What a header said is passed on in the header that is sent, whichever version they are.
func TestProxyHeaderIsPassedOn(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) {
				r := harness.New(t, engine)
				target := r.Listen()
				app := trusting(target, "1m", self)
				app.SendProxyProtocol = version
				p := r.StartApp(app)
				for _, h := range headers {
					client := p.Dial()
					client.Send([]byte(h.text + "payload"))
					source, destination := h.client, "203.0.113.9:443"
					switch source {
					case "":
						source, destination = client.LocalAddr().String(), p.Address()
					case headerClient6:
						destination = "[2001:db8::9]:443"
					}
					server := target.Accept()
					server.Expect([]byte(sentHeader(version, source, destination) + "payload"))
					client.CloseWrite()
					server.ExpectEOF()
				}
			})
		})
	}
}

// A target that fails before the one that answers takes the header from nobody.
func TestSendProxyProtocolAfterAFailure(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(harness.App{
			Targets: []any{r.Refuse(), r.Blackhole(), target.Address}, ConnectTimeout: "200ms", Balance: "first", SendProxyProtocol: "v1",
		})
		client := p.Dial()
		client.Send([]byte("payload"))
		server := target.Accept()
		server.Expect([]byte(headerV1(client.LocalAddr().String(), p.Address()) + "payload"))
		server.Exchange(client, harness.Bytes(1, 1000))
	})
}

// A target that is gone when it is sent the header is the target's reset, and the client learns of it.
func TestSendProxyProtocolToATargetThatResets(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Resetter()
		p := r.StartApp(harness.App{Targets: harness.To(target), SendProxyProtocol: "v2"})
		for range 20 {
			client := r.ExpectRefusal(p.Address())
			if record := p.RecordOfAddress(client); record.Cause != "target_reset" || record.Attempts != 1 {
				t.Fatalf("record %+v", record)
			}
		}
	})
}

// With headers on both sides not one byte of a long stream is lost, added or changed, at any size of its pieces.
func TestStreamsBehindHeadersAreExact(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const length = 32 << 20
		r := harness.New(t, engine)
		target := r.Listen()
		app := trusting(target, "1m", self)
		app.SendProxyProtocol = "v2"
		p := r.StartApp(app)
		for i, h := range []header{headers[0], headers[6], longest} {
			client := p.Dial()
			up, down := uint64(10+i), uint64(20+i)
			results := make(chan error, 4)
			go func() { // the header in one piece with the first bytes
				pattern := harness.NewPattern(up)
				if _, err := client.Write(append([]byte(h.text), readPattern(pattern, 1000)...)); err != nil {
					results <- err
					return
				}
				err := harness.WritePattern(client, pattern, length-1000, harness.NewChunks(1, 65536, 1448, 300_000))
				if err == nil {
					err = client.Finish()
				}
				results <- err
			}()
			server := target.Accept()
			go func() {
				err := harness.WritePattern(server, harness.NewPattern(down), length, harness.NewChunks(70_000, 3))
				if err == nil {
					err = server.Finish()
				}
				results <- err
			}()
			go func() {
				results <- harness.VerifyAll(client, harness.NewPattern(down), length, harness.NewChunks(65536))
			}()
			destination := "203.0.113.9:443"
			if h.client == headerClient6 {
				destination = "[2001:db8::9]:443"
			}
			server.Expect([]byte(headerV2(h.client, destination)))
			go func() {
				results <- harness.VerifyAll(server, harness.NewPattern(up), length, harness.NewChunks(100_000))
			}()
			for range 4 {
				if err := <-results; err != nil {
					t.Fatalf("header %q: %v", h.name, err)
				}
			}
			client.Close()
			checkHeaderBytes(t, p, client, length)
		}
	})
}

func readPattern(pattern *harness.Pattern, n int) []byte {
	data := make([]byte, n)
	io.ReadFull(pattern, data) // it never fails
	return data
}

// checkHeaderBytes wants the record of this peer to count the bytes of the stream each way.
func checkHeaderBytes(t *testing.T, p *harness.Proxy, client net.Conn, n int64) {
	t.Helper()
	real := client.LocalAddr().String()
	harness.Eventually(t, "the record of "+real, func() bool {
		for _, record := range p.RecordsNow() {
			if record.Peer == real {
				if record.BytesUp != n || record.BytesDown != n {
					t.Errorf("%d bytes up and %d down, want %d", record.BytesUp, record.BytesDown, n)
				}
				return true
			}
		}
		return false
	})
}
