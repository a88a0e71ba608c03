package admin

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

const rules = "../../packaging/prometheus/tcp-proxy.rules.yml"

// step is how far apart Prometheus scrapes.
const step = 15 * time.Second

// A phase is a time in which each scrape gives the one before and a constant growth.
type phase struct {
	first, growth scrape // a nil first: the proxy cannot be scraped
	steps         int
}

// still is a phase without change.
func still(s scrape, length time.Duration) phase { return phase{s, nil, int(length / step)} }

// growing goes on as from one scrape to the next.
func growing(one, next scrape, length time.Duration) phase {
	growth := scrape{}
	for series, value := range next {
		growth[series] = value - one[series]
	}
	return phase{one, growth, int(length / step)}
}

// An outage is what an alert watches for: what the proxy was like before, and what it was like then.
type outage struct {
	alert  string
	within time.Duration // from the beginning until the alert has to fire
	only   string        // matchers of the labels that it has to have
	strike func(t *testing.T, r *harness.Rig) (healthy scrape, broken []phase)
}

// Each alert is quiet while all is well and fires when what it watches breaks. The values are those of scrapes of a
// proxy to which that was done; Prometheus' own promtool lets the time pass.
func TestAlertsFire(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool is not installed")
	}
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, o := range outages {
		tested[o.alert] = true
	}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(text), -1) {
		if !tested[m[1]] {
			t.Errorf("nothing makes %s fire", m[1])
		}
	}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, o := range outages {
			t.Run(o.alert, func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				healthy, broken := o.strike(t, r)
				o.judge(t, healthy, broken)
			})
		}
	})
}

// calm is how long all is well before something breaks.
const calm = 20 * time.Minute

func (o outage) judge(t *testing.T, healthy scrape, broken []phase) {
	t.Helper()
	absolute, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [%q]\nevaluation_interval: %s\ntests:\n- interval: %s\n  input_series:\n", absolute, step, step)
	timeline := append([]phase{still(healthy, calm)}, broken...)
	for _, series := range allSeries(timeline) {
		fmt.Fprintf(&b, "  - series: %s\n    values: %q\n", strconv.Quote(labelled(series)), values(series, timeline))
	}
	firing := fmt.Sprintf(`count(ALERTS{alertstate="firing",alertname=%q%s})`, o.alert, o.only)
	fmt.Fprintf(&b, "  promql_expr_test:\n")
	fmt.Fprintf(&b, "  - expr: count(ALERTS{alertstate=\"firing\"})\n    eval_time: %s\n    exp_samples: []\n", calm-step)
	fmt.Fprintf(&b, "  - expr: %s\n    eval_time: %s\n    exp_samples: [{labels: '{}', value: 1}]\n", strconv.Quote(firing), calm+o.within)
	file := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
	defer cancel()
	if result := harness.RunCommand(t, exec.CommandContext(ctx, "promtool", "test", "rules", file)); result.Code != 0 {
		t.Errorf("promtool: %s%s", result.Stdout, result.Stderr)
		for _, p := range broken {
			for series, value := range p.first {
				if value != healthy[series] && strings.HasPrefix(series, "tcp_proxy_") {
					t.Logf("%s was %g and is %g, growing by %g", series, healthy[series], value, p.growth[series])
				}
			}
		}
	}
}

func allSeries(timeline []phase) []string {
	all := map[string]bool{"up": true}
	for _, p := range timeline {
		for series := range p.first {
			if strings.HasPrefix(series, "tcp_proxy_") {
				all[series] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// labelled gives a series the labels that Prometheus adds.
func labelled(series string) string {
	const target = `instance="proxy:9901",job="tcp-proxy"`
	if name, labels, ok := strings.Cut(series, "{"); ok {
		return name + "{" + target + "," + labels
	}
	return series + "{" + target + "}"
}

// values writes the course of a series as promtool reads it.
func values(series string, timeline []phase) string {
	var parts []string
	for _, p := range timeline {
		value, there := p.first[series]
		if series == "up" {
			value, there = 0, true
			if p.first != nil {
				value = 1
			}
		}
		if !there {
			parts = append(parts, fmt.Sprintf("_x%d", p.steps))
			continue
		}
		number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
		parts = append(parts, fmt.Sprintf("%s+%sx%d", number(value), number(max(0, p.growth[series])), p.steps-1))
	}
	return strings.Join(parts, " ")
}

// twice is a proxy that a clients' mishap befalls between three scrapes: the one before, and those of the phase.
func twice(s *seen, mishap func()) (healthy scrape, broken []phase) {
	healthy = s.scrape()
	mishap()
	one := s.fresh()
	mishap()
	return healthy, []phase{growing(one, s.fresh(), time.Hour)}
}

// fresh is a scrape of now: not the picture that others have seen before.
func (s *seen) fresh() scrape {
	s.t.Helper()
	s.ask(http.MethodPost, "/api/v1/undrain")
	return s.scrape()
}

// ends waits until that many sessions of an app have ended for a cause.
func (s *seen) ends(app, cause string, n uint64) {
	s.t.Helper()
	harness.Eventually(s.t, fmt.Sprintf("%d sessions of %s end as %s", n, app, cause), func() bool { return s.app(app).Ended[cause] >= n })
}

var outages = []outage{
	{"TcpProxyDown", 2 * time.Minute, "", func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Echo()))
		healthy := s.scrape()
		s.Stop()
		if _, err := request("tcp", s.tcp, http.MethodGet, "/metrics"); err == nil {
			t.Error("it can be scraped")
		}
		return healthy, []phase{still(nil, time.Hour)}
	}},
	{"TcpProxyNoTargetUp", time.Minute, `,app="web"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		target := r.Echo()
		s := see(r, web(r, target))
		healthy := s.scrape()
		target.Stop()
		r.ExpectRefusal(s.Address())
		s.ends("web", "connect_failed", 1)
		return healthy, []phase{still(s.fresh(), time.Hour)}
	}},
	{"TcpProxyClientsRefused", 4 * time.Minute, `,app="web"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		target := r.Echo()
		s := see(r, web(r, target))
		n := uint64(0)
		return twice(s, func() {
			target.Stop()
			r.ExpectRefusal(s.Address())
			n++
			s.ends("web", "connect_failed", n)
		})
	}},
	{"TcpProxyTargetDead", 2 * time.Minute, `,app="web"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		one, two := r.Identify("one"), r.Identify("two")
		s := see(r, web(r, one, two))
		healthy := s.scrape()
		one.Stop()
		for range 2 {
			if _, err := r.Ask(s.Address()); err != nil {
				t.Fatal(err)
			}
		}
		return healthy, []phase{still(s.fresh(), time.Hour)}
	}},
	{"TcpProxyTargetFlaps", 10 * time.Minute, `,app="web"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		target := r.Identify("here")
		s := see(r, web(r, target))
		healthy := s.scrape()
		var broken []phase
		for range 5 {
			target.Stop()
			r.ExpectRefusal(s.Address())
			broken = append(broken, still(s.fresh(), time.Minute))
			target.Restart()
			if _, err := r.Ask(s.Address()); err != nil {
				t.Fatal(err)
			}
			broken = append(broken, still(s.fresh(), time.Minute))
		}
		return healthy, append(broken, still(s.fresh(), time.Hour))
	}},
	{"TcpProxyTargetDropsClients", 6 * time.Minute, `,app="web"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		target := r.Serve(func(*harness.Conn) {}) // it accepts, and that is all
		s := see(r, web(r, target))
		n := uint64(0)
		return twice(s, func() {
			c := s.Dial()
			c.ExpectEOF()
			c.Close()
			n++
			s.ends("web", "target_closed", n)
		})
	}},
	{"TcpProxyTargetFull", 6 * time.Minute, `,app="web"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		target := r.Listen()
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: []any{harness.TargetConfig{Address: target.Address, MaxSessions: 1}}}}})
		healthy := s.scrape()
		s.Session(target)
		return healthy, []phase{still(s.fresh(), time.Hour)}
	}},
	{"TcpProxyConnectSlow", 10 * time.Minute, `,app="web"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		target := r.Listen()
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: []any{harness.TargetConfig{Address: target.Address, MaxSessions: 1}}}}})
		n := uint64(0)
		return twice(s, func() {
			first, firstServer := s.Session(target)
			waits := s.Dial()
			time.Sleep(1200 * time.Millisecond) // that is how slow it is
			firstServer.CloseWrite()
			first.ExpectEOF()
			first.CloseWrite()
			server := target.Accept()
			waits.Exchange(server, []byte("x"))
			server.CloseWrite()
			waits.ExpectEOF()
			waits.CloseWrite()
			n += 2
			s.ends("web", "target_closed", n)
		})
	}},
	{"TcpProxyWorkersBusy", 6 * time.Minute, "", func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Identify("here")), "--max-workers", "10")
		healthy := s.scrape()
		for range 10 {
			if _, err := s.Dial().Name(); err != nil {
				t.Fatal(err)
			}
		}
		return healthy, []phase{still(s.fresh(), time.Hour)}
	}},
	{"TcpProxyClientsWait", 2 * time.Minute, "", func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Identify("here")), "--max-workers", "1")
		healthy := s.scrape()
		if _, err := s.Dial().Name(); err != nil {
			t.Fatal(err)
		}
		s.Dial()
		harness.Eventually(t, "accepting pauses", func() bool { return s.status().Workers.Paused["workers"] > 0 })
		return healthy, []phase{still(s.fresh(), time.Hour)}
	}},
	{"TcpProxyAcceptFails", 2 * time.Minute, "", func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Identify("here")))
		healthy := s.scrape()
		s.Settle() // the scrape's connection is closed
		restore := s.LeaveDescriptors(0)
		s.Dial()
		harness.Eventually(t, "accepting fails", func() bool { return s.Log.Count(harness.Warning("accept failed")) > 0 })
		restore()
		harness.Eventually(t, "it can be asked again", func() bool {
			_, err := request("unix", s.socket, http.MethodGet, "/healthz")
			return err == nil
		})
		return healthy, []phase{still(s.fresh(), time.Hour)}
	}},
	{"TcpProxyInternalErrors", 5 * time.Minute, `,app="web"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Identify("here")))
		return twice(s, func() {
			before := s.app("web").Ended["internal"]
			s.Settle()
			restore := s.LeaveDescriptors(1) // for the client
			c, err := r.TryDial(s.Address())
			if err == nil {
				io.Copy(io.Discard, c)
				c.Close()
			}
			restore()
			s.ends("web", "internal", before+1)
		})
	}},
	{"TcpProxyShortage", 5 * time.Minute, `,kind="connect"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Identify("here")))
		return twice(s, func() {
			before := s.status().Lacked["connect"]
			s.Settle()
			restore := s.LeaveDescriptors(1) // for the client
			c, err := r.TryDial(s.Address())
			if err == nil {
				io.Copy(io.Discard, c)
				c.Close()
			}
			restore()
			harness.Eventually(t, "the shortage is counted", func() bool { return s.status().Lacked["connect"] > before })
		})
	}},
	{"TcpProxyClientsLimited", 10 * time.Minute, `,app="web"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		config := web(r, r.Identify("here"))
		config.Apps[0].MaxSessions = 1
		s := see(r, config)
		if _, err := s.Dial().Name(); err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		return twice(s, func() {
			r.ExpectRefusal(s.Address())
			n++
			s.ends("web", "limited", n)
		})
	}},
	{"TcpProxyReloadRefused", time.Minute, "", func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Identify("here")))
		healthy := s.scrape()
		s.ReloadText("{", "reload refused")
		return healthy, []phase{still(s.fresh(), time.Hour)}
	}},
	{"TcpProxyLogLost", 2 * time.Minute, "", func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		harness.FullDisk.Put(r)
		s := toSee(r, web(r, r.Identify("here")))
		s.Proxy = r.StartPlain(s.config, append([]string{"--log-level", "debug"}, harness.FullDisk.Arguments...)...)
		harness.Eventually(t, "the first entries are lost", func() bool { return s.status().Log.Lost > 0 })
		healthy, broken := twice(s, func() {
			before := s.status().Log.Lost
			client := s.Dial()
			if _, err := client.Name(); err != nil {
				t.Fatal(err)
			}
			client.Close()
			harness.Eventually(t, "the record is lost", func() bool { return s.status().Log.Lost > before })
		})
		if problem := s.status().Log.Problem; !strings.Contains(problem, "no space left") {
			t.Errorf("the status says %q", problem)
		}
		s.Stop()
		return healthy, broken
	}},
	{"TcpProxyNameFails", 3 * time.Minute, `,name="nowhere.invalid:80"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Identify("here")))
		healthy := s.scrape()
		config := s.config
		config.Apps[0].Targets = append(slices.Clone(config.Apps[0].Targets), "nowhere.invalid:80")
		s.Reload(config)
		harness.Eventually(t, "the lookup fails", func() bool {
			names := s.status().Names
			return len(names) == 1 && names[0].Problem != ""
		})
		return healthy, []phase{still(s.fresh(), time.Hour)}
	}},
	{"TcpProxyNameOverdue", 5 * time.Minute, `,name="web.internal:80"`, func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		names := r.Nameserver()
		names.Set(r.Host + " web.internal")
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Ports: []any{r.Address()}, Targets: []any{"web.internal:80"}, Probe: &harness.Probe{When: "never"}}}})
		healthy := s.scrape()
		names.Pause()
		const series = `tcp_proxy_name_overdue_seconds{name="web.internal:80"}`
		var late scrape
		harness.Eventually(t, "the answer is overdue", func() bool { late = s.fresh(); return late[series] > 0 })
		later := maps.Clone(late)
		later[series] += step.Seconds() // it is a time
		return healthy, []phase{growing(late, later, time.Hour)}
	}},
	{"TcpProxyRestarts", 10 * time.Minute, "", func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Identify("here")))
		healthy := s.scrape()
		var broken []phase
		for range 4 {
			s.Kill()
			s.Proxy = r.Start(s.config)
			broken = append(broken, still(nil, time.Minute), still(s.fresh(), time.Minute))
		}
		s.Signal(syscall.SIGTERM)
		return healthy, append(broken, still(nil, time.Hour))
	}},
	{"TcpProxyLeftDraining", 65 * time.Minute, "", func(t *testing.T, r *harness.Rig) (scrape, []phase) {
		s := see(r, web(r, r.Identify("here")))
		healthy := s.scrape()
		s.ask(http.MethodPost, "/api/v1/drain")
		return healthy, []phase{still(s.scrape(), 2*time.Hour)}
	}},
}

// web is a configuration of one app with these targets, which are tried again at once when they were dead.
func web(r *harness.Rig, targets ...*harness.Target) harness.Config {
	return harness.Config{Apps: []harness.App{{Name: "web", Ports: []any{r.Address()}, Targets: harness.To(targets...), Probe: &harness.Probe{When: "never"}, RetryDeadAfter: "1h"}}}
}
