package admin

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/internal/listen"
	"tcp-proxy/tests/harness"
)

// The command tells what has changed, or everything that is wrong, and how bad that is by its exit code.
func TestReloadCommand(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Identify("here")
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(target)}, {Name: "old", Targets: harness.To(target)}}})
		reload := func(code int, says ...string) {
			t.Helper()
			result := harness.Run(t, "reload", "--socket", s.socket)
			if result.Code != code {
				t.Errorf("exit code %d, want %d", result.Code, code)
			}
			for _, text := range says {
				if !strings.Contains(result.Stdout+result.Stderr, text) {
					t.Errorf("it does not say %q", text)
				}
			}
			if t.Failed() {
				t.Logf("standard output:\n%s\nstandard error:\n%s", result.Stdout, result.Stderr)
			}
		}
		reload(0, "reloaded: nothing has changed\n")
		config := s.config
		config.MaxWorkers = 70
		config.Apps = []harness.App{s.config.Apps[0], {Name: "new", Ports: []any{r.Address()}, Targets: harness.To(target)}}
		config.Apps[0].ConnectTimeout = "2s"
		s.change(config)
		reload(0, "added new", "removed old", "changed web: policy", "max_workers")
		if name, err := r.Ask(config.Apps[1].Ports[0].(string)); err != nil || name != "here" {
			t.Errorf("the new app: %q, %v", name, err)
		}

		s.change(`{"apps": [{"name": "web", "ports": [0, "5001x"], "targets": ["nobody"], "tragets": []}]}`)
		reload(78, "keeping the current configuration", "config.json:1:37", "config.json:1:40", "nobody", "tragets")
		if got := s.status(); got.Reloads.Refused != 1 || !strings.Contains(got.Reloads.Problem, "tragets") || got.Apps[1].Name != "new" {
			t.Errorf("the status is %+v", got.Reloads)
		}
		if m := s.scrape(); m.of("last_reload_successful") != 0 || m.of("reloads_total", "result", "refused") != 1 || m.of("reloads_total", "result", "succeeded") != 3 {
			t.Error("the metrics do not tell")
		}
		shown := harness.Run(t, "status", "--socket", s.socket)
		if !strings.Contains(shown.Stdout, "The last reload was refused") || !strings.Contains(shown.Stdout, "tragets") {
			t.Errorf("the status does not tell:\n%s", shown.Stdout)
		}

		for what, put := range map[string]func(string) error{
			"a pipe or FIFO": func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"a device":       func(path string) error { return os.Symlink("/dev/full", path) },
		} {
			if err := errors.Join(os.RemoveAll(r.Path("config.json")), put(r.Path("config.json"))); err != nil {
				t.Fatal(err)
			}
			reload(78, "keeping the current configuration", "config.json: is "+what+", not a regular file")
			if err := os.Remove(r.Path("config.json")); err != nil {
				t.Fatal(err)
			}
		}

		taken := r.Listen()
		config.Apps[1].Ports = []any{taken.Address}
		s.change(config)
		reload(1, "address already in use")
		config.Apps[1].Ports = s.config.Apps[0].Ports[:0:0]
		config.Apps = config.Apps[:1]
		s.change(config)
		reload(0, "removed new")
		if result := harness.Run(t, "reload", "--quiet", "--socket", s.socket); result.Code != 0 || result.Stdout+result.Stderr != "" {
			t.Errorf("reload --quiet: exit code %d\n%s%s", result.Code, result.Stdout, result.Stderr)
		}
		if got := s.status(); got.Reloads.Refused != 4 || got.Reloads.Problem != "" {
			t.Errorf("the status is %+v", got.Reloads)
		}
	})
}

// A port that a reload gives to another app, or whose app has another name, is counted once: for the app that has it now.
func TestReloadMovesPorts(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Identify("here")
		first, second, third := r.Address(), r.Address(), r.Address()
		app := func(name string, ports ...any) harness.App {
			return harness.App{Name: name, Ports: ports, Targets: harness.To(target)}
		}
		s := see(r, harness.Config{Apps: []harness.App{app("web", first, second), app("db", third)}})
		config := s.config
		for _, step := range []map[string][]any{
			{"web": {first}, "db": {third, second}},
			{"site": {first}, "db": {third, second}},
			{"web": {third, second}, "db": {first}},
		} {
			config.Apps = nil
			for _, name := range []string{"web", "site", "db"} {
				if ports := step[name]; ports != nil {
					config.Apps = append(config.Apps, app(name, ports...))
				}
			}
			s.Reload(config)
			harness.Eventually(t, fmt.Sprintf("the status has %v", step), func() bool {
				shown := map[string][]any{}
				for _, a := range s.status().Apps {
					for _, p := range a.Ports {
						shown[a.Name] = append(shown[a.Name], p.Name)
						if p.Address != p.Name {
							t.Errorf("%s listens at %s", p.Name, p.Address)
						}
					}
				}
				return fmt.Sprint(shown) == fmt.Sprint(step)
			})
			harness.Eventually(t, fmt.Sprintf("the metrics have %v", step), func() bool {
				m, all := s.scrape(), 0.0
				for series, n := range m {
					if strings.HasPrefix(series, "tcp_proxy_ports{") {
						all += n
					}
				}
				for name, ports := range step {
					if m.of("ports", "app", name) != float64(len(ports)) {
						return false
					}
				}
				return all == 3
			})
			for name, ports := range step {
				for _, port := range ports {
					client := r.Dial(port.(string))
					if _, err := client.Name(); err != nil {
						t.Fatal(err)
					}
					client.Close()
					if record := s.RecordOf(client); record.App != name || record.Port != port {
						t.Errorf("the record of a session at %s has app %q and port %q", port, record.App, record.Port)
					}
				}
			}
		}
	})
}

// A listening socket that a reload keeps for a port in other words has the new name, in the status and in the log.
func TestReloadRenamesPorts(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		number := strconv.Itoa(r.SharedPort())
		own, every, every4 := r.Host+":"+number, number, "0.0.0.0:"+number
		config := harness.Config{Apps: []harness.App{{Ports: []any{own}, Targets: harness.To(target)}}}
		s := see(r, config)
		config = s.config
		early := r.Dial(own)
		earlyServer := target.Accept()
		last := own
		for _, asked := range []string{own, every, own, every4, every} {
			if asked != last {
				config.Apps[0].Ports = []any{asked}
				s.Reload(config)
				last = asked
			}
			harness.Eventually(t, "the status has no port but "+asked, func() bool {
				shown := s.status().Apps[0].Ports
				return len(shown) > 0 && !slices.ContainsFunc(shown, func(p port) bool { return p.Name != asked })
			})
			at := map[string]string{own: own, every: "[::]:" + number, every4: every4}[asked]
			if shown := s.status().Apps[0].Ports; len(shown) != 1 || shown[0].Address != at || shown[0].Systemd {
				t.Errorf("the port %s is shown as %+v", asked, shown)
			}
			harness.Eventually(t, "the metrics count one port", func() bool { return s.scrape().of("ports", "app", s.status().Apps[0].Name) == 1 })
			client := r.Dial(own)
			server := target.Accept()
			client.Close()
			server.Close()
			if record := s.RecordOf(client); record.Port != asked {
				t.Errorf("the log has port %q, want %q", record.Port, asked)
			}
		}
		shown := harness.Run(t, "status", "--socket", s.socket).Stdout
		if !strings.Contains(shown, "  ports "+number+"\n") {
			t.Errorf("the port is not shown once:\n%s", shown)
		}
		early.Close()
		earlyServer.Close()
		if record := s.RecordOf(early); record.Port != last {
			t.Errorf("the log has port %q for a session from before the reloads, want %q", record.Port, last)
		}
		config.Apps[0].Ports = []any{own}
		s.Reload(config)
	})
}

// The admin API moves where the configuration says, also by an order that comes over the address that goes.
func TestAdminAddressesChange(t *testing.T) {
	r := harness.New(t, "copy")
	s := see(r, harness.Config{Apps: []harness.App{{Targets: harness.To(r.Identify("here"))}}})
	config := s.config
	moved, tcp := r.Path("moved.sock"), r.Address()
	config.Admin = &harness.Admin{Listen: []string{"unix:" + moved, tcp}}
	s.change(config)
	if a := s.ask(http.MethodPost, "/api/v1/reload"); a.code != http.StatusOK || !strings.Contains(a.body, `"global":["admin"]`) {
		t.Errorf("reload: %d %s", a.code, a.body)
	}
	for _, gone := range []string{"unix:" + s.socket, s.tcp} {
		if harness.Listening(t, gone) {
			t.Errorf("%s still listens", gone)
		}
	}
	s.socket, s.tcp = moved, tcp
	if got := s.status(); got.Reloads.Succeeded != 2 {
		t.Errorf("%+v", got.Reloads)
	}
	s.scrape()

	// What cannot be listened on refuses the reload, and all that is new is given back.
	taken := r.Listen()
	config.Admin = &harness.Admin{Listen: []string{"unix:" + r.Path("fresh.sock"), taken.Address, "unix:/no/such/folder/admin.sock"}}
	s.change(config)
	a := s.ask(http.MethodPost, "/api/v1/reload")
	if a.code != http.StatusInternalServerError {
		t.Errorf("code %d", a.code)
	}
	for _, want := range []string{"admin.listen[1]: the admin API cannot listen on " + taken.Address + ": address already in use", "admin.listen[2]", "no such file"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("it does not say %q: %s", want, a.body)
		}
	}
	if harness.Listening(t, "unix:"+r.Path("fresh.sock")) || !harness.Listening(t, "unix:"+moved) || !harness.Listening(t, tcp) {
		t.Error("a refused reload has changed the addresses")
	}

	// The same if it is a port of an app that cannot be listened on.
	fresh := r.Address()
	config.Admin = &harness.Admin{Listen: []string{"unix:" + moved, fresh}}
	config.Apps = append(config.Apps[:1:1], harness.App{Name: "new", Ports: []any{taken.Address}, Targets: config.Apps[0].Targets})
	s.change(config)
	if a := s.ask(http.MethodPost, "/api/v1/reload"); a.code != http.StatusInternalServerError || !strings.Contains(a.body, "address already in use") {
		t.Errorf("reload: %d %s", a.code, a.body)
	}
	if harness.Listening(t, fresh) || !harness.Listening(t, tcp) {
		t.Error("a refused reload has changed the addresses")
	}

	config.Apps = config.Apps[:1]
	config.Admin = nil
	s.Reload(config)
	for _, gone := range []string{"unix:" + moved, tcp} {
		if harness.Listening(t, gone) {
			t.Errorf("%s still listens", gone)
		}
	}
}

// A reload may replace an address of the admin API by one that has addresses in common with it. No client of the common
// address is refused meanwhile.
func TestAdminAddressesOverlap(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		s := see(r, harness.Config{Apps: []harness.App{{Targets: harness.To(r.Identify("here"))}}})
		number := strconv.Itoa(r.SharedPort())
		own := r.Host + ":" + number
		forms := []string{own, "0.0.0.0:" + number, "[::]:" + number}
		config := s.config
		move := func(to string) {
			config.Admin = &harness.Admin{Listen: []string{"unix:" + s.socket, to}}
			s.Reload(config)
		}
		before := goroutines(s)
		move(own)
		var done atomic.Bool
		var clients sync.WaitGroup
		var answers atomic.Int64
		for range 2 {
			clients.Go(func() {
				for !done.Load() {
					begun := time.Now()
					a, err := request("tcp", own, http.MethodGet, "/healthz")
					if err != nil && time.Since(begun) > listen.Grace {
						continue // on a busy machine a client may need longer for its request than it is given
					}
					if err != nil || a.code != http.StatusOK && a.code != http.StatusTooManyRequests {
						t.Errorf("code %d, %v", a.code, err)
						return
					}
					answers.Add(1)
				}
			})
		}
		for _, from := range forms {
			for _, to := range forms {
				move(from)
				move(to)
			}
		}
		move(own)
		done.Store(true)
		clients.Wait()
		if answers.Load() < 2*int64(len(forms)) {
			t.Errorf("only %d answers", answers.Load())
		}
		harness.Eventually(t, "other addresses are closed", func() bool {
			return !harness.Listening(t, "127.0.0.1:"+number)
		})
		harness.Eventually(t, "what served the addresses in between is over", func() bool { return goroutines(s) <= before })
	})
}

// goroutines is how many goroutines the proxy has.
func goroutines(s *seen) int {
	s.t.Helper()
	for line := range strings.Lines(s.ask(http.MethodGet, "/metrics").body) {
		if text, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatal("the metrics do not tell")
	return 0
}

// A proxy that cannot serve its admin API does not start, and says why; the socket of one that was killed is no reason.
func TestAdminAddressesAtTheStart(t *testing.T) {
	r := harness.New(t, "copy")
	s := see(r, harness.Config{Apps: []harness.App{{Targets: harness.To(r.Identify("here"))}}})
	second := s.config
	second.Apps = []harness.App{{Ports: []any{r.Address()}, Targets: s.config.Apps[0].Targets}}
	result := harness.Run(t, "run", "--config-file", write(t, second))
	for i, want := range []string{"unix:" + s.socket + ": address already in use", s.tcp + ": address already in use"} {
		if !strings.Contains(result.Stderr, fmt.Sprintf("admin.listen[%d]: the admin API cannot listen on %s", i, want)) {
			t.Errorf("it does not say %s", want)
		}
	}
	if result.Code != 1 {
		t.Errorf("exit code %d: %s", result.Code, result.Stderr)
	}
	s.Kill()
	if !strings.Contains(harness.Run(t, "status", "--socket", s.socket).Stderr, "tcp-proxy is not running: nobody listens on") {
		t.Error("the status of a proxy that was killed")
	}
	again := r.Start(s.config)
	if a := s.ask(http.MethodGet, "/readyz"); a.code != http.StatusOK {
		t.Errorf("code %d", a.code)
	}
	if code := again.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
