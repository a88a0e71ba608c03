package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

// A drained target gets no new session, keeps those it has, and stays drained over a reload.
func TestDrainATarget(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		one, two := r.Identify("one"), r.Identify("two")
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(one, two)}}})
		open := r.Dial(s.Address())
		if name, err := open.Name(); err != nil || name != "one" {
			t.Fatalf("%q, %v", name, err)
		}
		path := "/api/v1/apps/web/targets/" + url.PathEscape(one.Address) + "/"
		if a := s.ask(http.MethodPost, path+"drain"); a.code != http.StatusNoContent {
			t.Fatalf("drain: %d %s", a.code, a.body)
		}
		expect := func(names ...string) {
			t.Helper()
			seen := map[string]bool{}
			for range 4 {
				name, err := r.Ask(s.Address())
				if err != nil {
					t.Fatal(err)
				}
				seen[name] = true
			}
			if len(seen) != len(names) || !seen[names[len(names)-1]] {
				t.Errorf("clients come to %v, want %v", seen, names)
			}
		}
		expect("two")
		if got := s.app("web").Targets[0]; got.State != "draining" || got.Active != 1 {
			t.Errorf("the drained target is %+v", got)
		}
		if m := s.scrape(); m.of("target_up", "app", "web", "target", one.Address) != 0 || m.of("target_disabled", "app", "web", "target", one.Address) != 1 {
			t.Error("the metrics do not tell that it is drained")
		}
		config := s.config
		config.MaxWorkers = 60
		s.Reload(config)
		expect("two")
		if a := s.ask(http.MethodPost, path+"undrain"); a.code != http.StatusNoContent {
			t.Fatalf("undrain: %d %s", a.code, a.body)
		}
		expect("one", "two")
		open.CloseWrite()
		open.ExpectEOF()
		drained := 0
		for _, e := range s.status().Events {
			if e.Kind == "target_drained" && e.App == "web" && e.Target == one.Address {
				drained++
			}
		}
		if drained != 2 {
			t.Errorf("%d events tell of it, want 2", drained)
		}
	})
}

// A drained node serves, and tells load balancers that it does not want to.
func TestDrainTheNode(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		s := see(r, harness.Config{DrainTimeout: "60s", Apps: []harness.App{{Targets: harness.To(r.Identify("here"))}}})
		ready := func(code int, says string) {
			t.Helper()
			for _, at := range [][2]string{{"unix", s.socket}, {"tcp", s.tcp}} {
				if a, err := request(at[0], at[1], http.MethodGet, "/readyz"); err != nil || a.code != code || a.body != says+"\n" {
					t.Errorf("readyz is %d %q, %v; want %d %q", a.code, a.body, err, code, says)
				}
			}
		}
		serves := func() {
			t.Helper()
			if name, err := r.Ask(s.Address()); err != nil || name != "here" {
				t.Errorf("%q, %v", name, err)
			}
		}
		ready(http.StatusOK, "ready")
		if result := harness.Run(t, "drain", "--socket", s.socket); result.Code != 0 {
			t.Errorf("drain: %+v", result)
		}
		ready(http.StatusServiceUnavailable, "draining")
		serves()
		if state := s.status().State; state != "draining" {
			t.Errorf("the state is %s", state)
		}
		s.Reload(s.config)
		ready(http.StatusServiceUnavailable, "draining")
		if result := harness.Run(t, "undrain", "--socket", s.socket); result.Code != 0 {
			t.Errorf("undrain: %+v", result)
		}
		ready(http.StatusOK, "ready")
		serves()

		// While it stops, it is there, healthy and not ready; and it is the last to go.
		open := r.Dial(s.Address())
		if _, err := open.Name(); err != nil {
			t.Fatal(err)
		}
		s.Signal(syscall.SIGTERM)
		harness.Eventually(t, "the port is closed", func() bool { return !harness.Listening(t, s.Address()) })
		ready(http.StatusServiceUnavailable, "stopping")
		if a := s.ask(http.MethodGet, "/healthz"); a.code != http.StatusOK {
			t.Errorf("healthz is %d", a.code)
		}
		if got := s.status(); got.State != "stopping" || got.Workers.Busy != 1 {
			t.Errorf("while it stops: %s, with %d sessions", got.State, got.Workers.Busy)
		}
		if a := s.ask(http.MethodPost, "/api/v1/reload"); a.code != http.StatusInternalServerError || !strings.Contains(a.body, "stopping") {
			t.Errorf("a reload: %d %s", a.code, a.body)
		}
		open.CloseWrite()
		open.ExpectEOF()
		open.Close()
		if code := s.Wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if _, err := os.Lstat(s.socket); err == nil {
			t.Error("the socket is still there")
		}
	})
}

// No address but a unix socket takes an action, in whatever form it comes.
func TestActionsOverTCP(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Identify("here")
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(target)}}})
		before := s.status()
		for _, path := range []string{
			"/api/v1/reload", "/api/v1/drain", "/api/v1/undrain", "/api/v1/status", "/metrics", "/", "/nowhere",
			"/api/v1/sessions", "/api/v1/sessions/1/close", "/api/v1/log-level/debug", "/api/v1/log-level/reset",
			"/api/v1/apps/web/targets/" + url.PathEscape(target.Address) + "/drain",
			"/api/v1/apps/web/targets/" + url.PathEscape(target.Address) + "/undrain",
		} {
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, "DRAIN"} {
				if a, err := request("tcp", s.tcp, method, path); err != nil || a.code != http.StatusForbidden {
					t.Errorf("%s %s: %d, %v", method, path, a.code, err)
				}
			}
		}
		after := s.status()
		if after.State != "serving" || after.Reloads.Succeeded != before.Reloads.Succeeded || after.Apps[0].Targets[0].State != "alive" {
			t.Errorf("something has changed: %+v", after)
		}
	})
}

// Who may: root, the user of the service and its group; others are told why not, by the system or by the proxy.
func TestWhoMay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	const nobody, service, group = 65534, 12345, 23456
	r := harness.New(t, "copy")
	s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(r.Identify("here"))}}})
	as := func(uid, gid uint32, groups []uint32, arguments ...string) harness.Result {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
		defer cancel()
		command := exec.CommandContext(ctx, harness.Binary(), arguments...)
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
		return harness.RunCommand(t, command)
	}
	for _, c := range []struct {
		mode     os.FileMode
		uid, gid uint32
		groups   []uint32
		command  string
		code     int
		says     string
	}{
		{0o660, 0, 0, nil, "drain", 0, "the node is draining"},
		{0o660, 0, nobody, nil, "undrain", 0, "no longer drains"},
		{0o660, nobody, 0, nil, "drain", 0, "the node is draining"},
		{0o660, nobody, nobody, []uint32{group, 0}, "undrain", 0, "no longer drains"},
		{0o660, nobody, nobody, nil, "drain", 1, "only root and the group root may use it"},
		{0o660, nobody, nobody, nil, "status", 1, "only root and the group root may use it"},
		{0o666, nobody, nobody, []uint32{group}, "drain", 1, "permission denied for user 65534: only root, the user of the service and members of its group root may do this"},
		{0o666, nobody, nobody, []uint32{group}, "close 1", 1, "permission denied for user 65534"},
		{0o666, nobody, nobody, []uint32{group}, "log-level debug", 1, "permission denied for user 65534"},
		{0o666, nobody, nobody, nil, "log-level", 0, "as configured"},
		{0o666, nobody, nobody, nil, "sessions", 0, "0 sessions open"},
		{0o660, nobody, 0, nil, "close 1", 1, "session 1: it has ended, or there never was one"},
		{0o666, nobody, nobody, []uint32{group}, "reload", 1, "permission denied for user 65534"},
		{0o666, nobody, nobody, nil, "status", 0, "web"},
	} {
		if err := os.Chmod(s.socket, c.mode); err != nil {
			t.Fatal(err)
		}
		result := as(c.uid, c.gid, c.groups, append(strings.Fields(c.command), "--socket", s.socket)...)
		if result.Code != c.code || !strings.Contains(result.Stdout+result.Stderr, c.says) {
			t.Errorf("%s by %d:%d %v: exit code %d, %s%s; want %d and %q", c.command, c.uid, c.gid, c.groups, result.Code, result.Stdout, result.Stderr, c.code, c.says)
		}
	}
	if state := s.status().State; state != "serving" {
		t.Errorf("the state is %s", state)
	}

	// The same of a service that is not root.
	as(0, 0, nil, "version") // the binary can be run
	folder := t.TempDir()
	for path := folder; strings.HasPrefix(path, os.TempDir()+"/"); path = path[:strings.LastIndexByte(path, '/')] {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(folder, service, group); err != nil {
		t.Fatal(err)
	}
	file, socket := folder+"/config.json", folder+"/admin.sock"
	text := fmt.Sprintf(`{"admin": {"listen": ["unix:%s"]}, "apps": [{"ports": [%q], "targets": ["127.0.0.1:1"]}]}`, socket, r.Address())
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(harness.Binary(), "--config-file", file)
	daemon.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: service, Gid: group}, Pdeathsig: syscall.SIGKILL}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Wait()
	defer daemon.Process.Signal(syscall.SIGTERM)
	harness.Eventually(t, "it answers", func() bool {
		a, err := request("unix", socket, http.MethodGet, "/readyz")
		return err == nil && a.code == http.StatusOK
	})
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uid, gid uint32
		groups   []uint32
		code     int
	}{{0, 0, nil, 0}, {service, nobody, nil, 0}, {nobody, group, nil, 0}, {nobody, nobody, []uint32{1, group}, 0}, {nobody, nobody, []uint32{0, 1}, 1}, {nobody, 0, nil, 1}} {
		if result := as(c.uid, c.gid, c.groups, "drain", "--socket", socket); result.Code != c.code {
			t.Errorf("drain by %d:%d %v: %+v", c.uid, c.gid, c.groups, result)
		}
	}
}

// Scrapes, actions and reloads, all at a time and under load, do not get in each other's way.
func TestAllAtATime(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const reloads = 16
		r := harness.New(t, engine)
		one, two := r.Identify("one"), r.Identify("two")
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(one, two)}}}, "--max-workers", "200")
		extra := r.Address()
		var done atomic.Bool
		var all sync.WaitGroup
		until := func(f func() error) {
			all.Go(func() {
				for !done.Load() {
					if err := f(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		get := func(network, address, path string) func() error {
			return func() error {
				a, err := request(network, address, http.MethodGet, path)
				if err == nil && a.code != http.StatusOK && a.code != http.StatusTooManyRequests {
					err = fmt.Errorf("%s: code %d: %s", path, a.code, a.body)
				}
				return err
			}
		}
		for range 2 {
			until(func() error {
				name, err := r.Ask(s.Address())
				if err == nil && name != "one" && name != "two" {
					err = fmt.Errorf("target %q", name)
				}
				return err
			})
		}
		until(get("tcp", s.tcp, "/metrics"))
		until(get("unix", s.socket, "/api/v1/status"))
		until(get("tcp", s.tcp, "/"))
		until(func() error {
			for _, path := range []string{"apps/web/targets/" + url.PathEscape(one.Address) + "/drain", "drain", "apps/web/targets/" + url.PathEscape(one.Address) + "/undrain", "undrain"} {
				a, err := request("unix", s.socket, http.MethodPost, "/api/v1/"+path)
				if err == nil && a.code != http.StatusNoContent && a.code != http.StatusTooManyRequests {
					err = fmt.Errorf("%s: code %d: %s", path, a.code, a.body)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		for i := range reloads {
			config := s.config
			config.MaxWorkers = 100 + i%3
			config.Admin = &harness.Admin{Listen: append([]string{}, s.config.Admin.Listen...)}
			if i%2 == 0 {
				config.Admin.Listen = append(config.Admin.Listen, extra)
			}
			s.change(config)
			if result := harness.Run(t, "reload", "--socket", s.socket); result.Code != 0 {
				t.Errorf("reload: %+v", result)
			}
		}
		done.Store(true)
		all.Wait()
		s.ask(http.MethodPost, "/api/v1/undrain")
		if got := s.status(); got.State != "serving" || got.Reloads.Succeeded != reloads+1 || got.Reloads.Refused != 0 {
			t.Errorf("%s, with reloads %+v", got.State, got.Reloads)
		}
	})
}
