package behaviour

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

func TestPortForms(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		number, first, six := r.SharedPort(), r.SharedPorts(3), r.SharedPort()
		four, path := r.Address(), r.Path("port.sock")
		p := r.StartApp(harness.App{
			Ports: []any{
				number,
				fmt.Sprintf("%d-%d", first, first+2),
				four,
				fmt.Sprintf("[::1]:%d", six),
				"unix:" + path,
			},
			Targets: harness.To(r.Identify("here")),
		})
		reached := []string{
			// A port without an address listens at all of them.
			fmt.Sprintf("%s:%d", r.Host, number),
			fmt.Sprintf("[::1]:%d", number),
			fmt.Sprintf("%s:%d", r.Host, first),
			fmt.Sprintf("%s:%d", r.Host, first+1),
			fmt.Sprintf("[::1]:%d", first+2),
			four,
			fmt.Sprintf("[::1]:%d", six),
			"unix:" + path,
		}
		for i, address := range reached {
			if name, err := r.Ask(address); name != "here" || err != nil {
				t.Errorf("%s: %q, %v", address, name, err)
			}
			record := p.Records(i + 1)[i]
			if number := address[strings.LastIndexByte(address, ':')+1:]; !strings.HasSuffix(record.Port, number) {
				t.Errorf("port = %q in the record of a session on %s", record.Port, address)
			}
		}
		for _, address := range []string{fmt.Sprintf("%s:%d", r.Host, six), fmt.Sprintf("127.0.0.1:%s", four[strings.IndexByte(four, ':')+1:])} {
			if _, err := r.TryDial(address); err == nil {
				t.Errorf("%s: somebody listens at an address that was not asked for", address)
			}
		}
	})
}

func TestIPv6Target(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.EchoAt(fmt.Sprintf("[::1]:%d", r.SharedPort()))
		p := r.StartApp(harness.App{Targets: harness.To(target)})
		client := p.Dial()
		data := harness.Bytes(1, 100_000)
		client.Send(data)
		client.Expect(data)
		if record := end(p, client); record.Target != target.Address {
			t.Errorf("target = %q, want %q", record.Target, target.Address)
		}
	})
}

// end closes a client of an echo target in order and returns the record of its session.
func end(p *harness.Proxy, client *harness.Conn) harness.Record {
	client.CloseWrite()
	client.ExpectEOF()
	return p.RecordOf(client)
}

// The socket of a proxy that was killed is in the way of nobody; the one of a proxy that stops goes with it.
func TestUnixPortIsTakenOverAndRemoved(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		path := r.Path("port.sock")
		app := harness.App{Ports: []any{"unix:" + path}, Targets: harness.To(r.Identify("here"))}
		killed := r.StartApp(app)
		killed.Kill()
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("the socket of a killed proxy: %v", err)
		}
		p := r.StartApp(app)
		expectNames(t, r, p, "here")
		if code := p.Stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the socket of a stopped proxy: %v, want none", err)
		}
	})
}

// localhost and other names are looked up.
func TestNamedTarget(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		port := r.SharedPort()
		r.IdentifyAt("here", fmt.Sprintf("127.0.0.1:%d", port))
		p := r.StartApp(harness.App{Targets: []any{fmt.Sprintf("localhost:%d", port)}})
		expectNames(t, r, p, "here", "here")
	})
}
