package admin

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/tests/fakenode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An api is a server of a fake node on a unix socket and a TCP address.
type api struct {
	*testing.T
	*Server
	node   *fakenode.Node
	logger *logging.Logger
	text   *strings.Builder // of the log, once it is closed
	socket config.AdminAddress
	tcp    config.AdminAddress
}

func start(t *testing.T) *api {
	t.Helper()
	a := &api{T: t, node: fakenode.New(3, 10), text: &strings.Builder{}, socket: unixAddress(t), tcp: tcpAddress(t)}
	log, err := logging.New(a.text, config.Log{Level: "info", Format: "text"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	a.logger, a.Server = log, New(a.node, "1.2.3", log)
	t.Cleanup(func() { a.Server.Close(context.Background()) })
	a.serve(a.socket, a.tcp)
	return a
}

// logged gives what was logged, and ends the log.
func (a *api) logged() string {
	a.Helper()
	if err := a.logger.Close(); err != nil {
		a.Error(err)
	}
	return a.text.String()
}

func (a *api) serve(addresses ...config.AdminAddress) {
	a.Helper()
	plan, err := a.Prepare(addresses)
	if err != nil {
		a.Fatal(err)
	}
	plan.Commit()
}

func unixAddress(t *testing.T) config.AdminAddress {
	t.Helper()
	return config.AdminAddress{Network: "unix", Path: filepath.Join(t.TempDir(), "admin.sock")}
}

func tcpAddress(t *testing.T) config.AdminAddress {
	t.Helper()
	return config.AdminAddress{Network: "tcp", Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), testkit.Port(t))}
}

func dial(address config.AdminAddress) (net.Conn, error) {
	if address.Network == "unix" {
		return net.DialTimeout("unix", address.Path, testkit.Timeout)
	}
	return net.DialTimeout("tcp", address.Addr.String(), testkit.Timeout)
}

// An answer is what a request came to.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask makes a request with a connection of its own.
func (a *api) ask(address config.AdminAddress, method, path string, change ...func(*http.Request)) answer {
	a.Helper()
	got, err := tryAsk(address, method, path, change...)
	if err != nil {
		a.Fatalf("%s %s: %v", method, path, err)
	}
	return got
}

func tryAsk(address config.AdminAddress, method, path string, change ...func(*http.Request)) (answer, error) {
	r, err := http.NewRequest(method, "http://localhost"+path, nil)
	if err != nil {
		return answer{}, err
	}
	for _, c := range change {
		c(r)
	}
	client := http.Client{Timeout: testkit.Timeout, Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(address) },
	}}
	response, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body)}, err
}

// expect compares the code; an answer that is not a success has to say why.
func (a *api) expect(got answer, code int, says string) {
	a.Helper()
	if got.code != code {
		a.Errorf("code %d, want %d: %s", got.code, code, got.body)
		return
	}
	if code >= 400 {
		var p Problem
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || !strings.Contains(p.Error, says) {
			a.Errorf("code %d says %q, want a sentence with %q", code, got.body, says)
		}
	}
}
