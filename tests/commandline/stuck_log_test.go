package commandline

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

// Nothing waits for a log that takes nothing: not a start, a session, a signal, an order or an answer, nor the end.
func TestTheLogIsStuck(t *testing.T) {
	for _, log := range harness.StuckLogs {
		t.Run(log.Name, func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) {
				stuck(t, engine, log)
			})
		})
	}
}

func stuck(t *testing.T, engine string, log harness.StuckLog) {
	r := harness.New(t, engine)
	log.Put(r)
	socket, target := r.Path("admin.sock"), r.Echo()
	config := harness.Config{
		DrainTimeout: "1h",
		Admin:        &harness.Admin{Listen: []string{"unix:" + socket}},
		Apps:         []harness.App{{Name: "web", Ports: []any{r.Address()}, Targets: harness.To(target)}},
	}
	arguments := append([]string{"--log-level", "debug"}, log.Arguments...)
	p := r.StartPlain(config, arguments...)
	talk := func() {
		t.Helper()
		client := p.Dial()
		client.Send([]byte("hello"))
		client.Expect([]byte("hello"))
		client.CloseWrite()
		client.ExpectEOF()
	}
	talk()

	// SIGHUP
	more := r.Address()
	config.Apps = append(config.Apps, harness.App{Name: "more", Ports: []any{more}, Targets: harness.To(target)})
	put(t, r, config)
	p.Signal(syscall.SIGHUP)
	harness.Eventually(t, "the new configuration is active", func() bool { return harness.Listening(t, more) })

	// orders
	for _, order := range [][]string{
		{"status"},
		{"reload"},
		{"drain"},
		{"undrain"},
		{"drain", "web", target.Address},
		{"undrain", "web", target.Address},
	} {
		expect(t, harness.Run(t, append(order, "--socket", socket)...), exitClean)
	}
	put(t, r, map[string]any{"apps": 1})
	expect(t, harness.Run(t, "reload", "--socket", socket), exitConfig, "reload refused")

	// the admin API
	client := http.Client{Timeout: harness.Timeout, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	for path, code := range map[string]int{"/metrics": 200, "/api/v1/status": 200, "/readyz": 200, "/nothing": 404} {
		answer, err := client.Get("http://localhost" + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if answer.Body.Close(); err != nil || answer.StatusCode != code {
			t.Errorf("%s: %d, %v", path, answer.StatusCode, err)
		}
		if path == "/metrics" && !strings.Contains(string(text), "tcp_proxy_reloads_total") {
			t.Errorf("%s: %.200s", path, text)
		}
	}
	talk()

	if code := p.Stop(); code != exitClean {
		t.Errorf("after SIGTERM: exit code %d", code)
	}

	put(t, r, config)
	p = r.StartPlain(config, arguments...)
	session := p.Dial()
	session.Send([]byte("hello"))
	session.Expect([]byte("hello"))
	p.Signal(syscall.SIGINT)
	harness.Eventually(t, "it stops", func() bool { return !harness.Listening(t, p.Address()) })
	p.Signal(syscall.SIGINT)
	if code := p.Wait(); code != exitClean {
		t.Errorf("after two SIGINT: exit code %d", code)
	}
	session.ExpectReset()
}

// put writes a configuration where the proxies of a rig read theirs.
func put(t *testing.T, r *harness.Rig, config any) {
	t.Helper()
	text, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(r.Path("config.json"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A start that fails says so with its exit code, whether anybody reads why or not.
func TestTheLogIsStuckAtTheStart(t *testing.T) {
	for _, log := range harness.StuckLogs {
		t.Run(log.Name, func(t *testing.T) {
			t.Parallel()
			r := harness.New(t, "loop")
			log.Put(r)
			p := r.StartFailing(harness.Config{Apps: []harness.App{{Ports: []any{r.Host + ":1"}, Targets: []any{"nonsense"}}}}, log.Arguments...)
			if code := p.Wait(); code != exitConfig {
				t.Errorf("a bad configuration: exit code %d", code)
			}
			taken := r.Echo()
			p = r.StartFailing(harness.Config{Apps: []harness.App{{Ports: []any{taken.Address}, Targets: []any{r.Address()}}}}, log.Arguments...)
			if code := p.Wait(); code != exitFailure {
				t.Errorf("a port that is taken: exit code %d", code)
			}
		})
	}
}
