package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// What is served is what Prometheus takes, down to style.
func TestPromtoolLikesTheMetrics(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool is not installed")
	}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		s := see(r, web(r, r.Identify("here")))
		if _, err := r.Ask(s.Address()); err != nil {
			t.Fatal(err)
		}
		a := s.ask(http.MethodGet, "/metrics")
		promtool(t, a.body, "check", "metrics")
	})
	promtool(t, "", "check", "rules", rules)
}

func promtool(t *testing.T, stdin string, arguments ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
	defer cancel()
	command := exec.CommandContext(ctx, "promtool", arguments...)
	command.Stdin = strings.NewReader(stdin)
	if result := harness.RunCommand(t, command); result.Code != 0 {
		t.Errorf("promtool %v: exit code %d\n%s%s", arguments, result.Code, result.Stdout, result.Stderr)
	}
}

// A Prometheus scrapes a proxy under load: the alerts can be judged, and every panel of the dashboard has something to
// show.
func TestPrometheusAndDashboard(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("prometheus is not installed")
	}
	r := harness.New(t, "copy")
	echo := r.Echo()
	config := web(r, echo)
	config.Apps[0].Targets[0] = harness.TargetConfig{Address: echo.Address, MaxSessions: 100}
	config.Apps = append(config.Apps, harness.App{Name: "troubled", Targets: []any{r.Refuse(), "nowhere.invalid:80"}, Deny: []string{"127.0.0.0/8"}},
		harness.App{Name: "broken", Targets: []any{r.Refuse()}})
	s := see(r, config)
	load := newLoad(t, r, s.Address())
	p := startPrometheus(t, r, s.tcp)
	// Trouble shows only where it grows.
	harness.Eventually(t, "the second scrape", func() bool { return p.value(`count_over_time(up{job="tcp-proxy"}[1m])`) >= 2 })
	for range 3 {
		r.ExpectRefusal(s.AddressOf(1))
		r.ExpectRefusal(s.AddressOf(2))
	}
	s.ends("troubled", "denied", 3)
	s.ends("broken", "connect_failed", 3)

	var got struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	harness.Eventually(t, "the rules are judged", func() bool {
		p.get("/api/v1/rules", nil, &got)
		for _, g := range got.Groups {
			for _, rule := range g.Rules {
				if rule.Health == "unknown" {
					return false
				}
				if rule.Health != "ok" {
					t.Errorf("%s: %s", rule.Name, rule.LastError)
				}
			}
		}
		return len(got.Groups) == 1
	})
	if n := len(got.Groups[0].Rules); n != len(outages) {
		t.Errorf("%d rules, want %d", n, len(outages))
	}
	for _, panel := range dashboard(t) {
		for _, target := range panel.Targets {
			expression := strings.NewReplacer("$instance", ".*", "$app", ".*", "$__rate_interval", "20s").Replace(target.Expr)
			harness.Eventually(t, fmt.Sprintf("%q of the panel %q has something to show", expression, panel.Title), func() bool {
				return p.samples(expression) > 0
			})
		}
	}
	load.end()
}

// A panel of the dashboard is one that shows something.
type panel struct {
	Title   string
	Targets []struct{ Expr string }
}

func dashboard(t *testing.T) (panels []panel) {
	t.Helper()
	text, err := os.ReadFile("../../packaging/grafana/tcp-proxy.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ Panels []panel }
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 20 {
		t.Fatalf("the dashboard has %d panels", len(d.Panels))
	}
	return d.Panels
}

// A prometheus is a server that scrapes every second.
type prometheus struct {
	t       *testing.T
	address string
}

func startPrometheus(t *testing.T, r *harness.Rig, target string) *prometheus {
	t.Helper()
	absolute, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "prometheus.yml")
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs:\n- job_name: tcp-proxy\n  static_configs: [{targets: [%q]}]\n", absolute, target)
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &prometheus{t, r.Address()}
	var log strings.Builder
	server := exec.Command("prometheus", "--config.file", file, "--storage.tsdb.path", filepath.Join(folder, "data"), "--web.listen-address", p.address)
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGTERM)
		server.Wait()
		if t.Failed() {
			t.Logf("prometheus: %s", log.String())
		}
	})
	harness.Eventually(t, "prometheus is ready", func() bool {
		a, err := request("tcp", p.address, http.MethodGet, "/-/ready")
		return err == nil && a.code == http.StatusOK
	})
	return p
}

// get asks the API of Prometheus.
func (p *prometheus) get(path string, query url.Values, data any) {
	p.t.Helper()
	client := http.Client{Timeout: harness.Timeout}
	response, err := client.Get("http://" + p.address + path + "?" + query.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var got struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Status != "success" {
		p.t.Fatalf("%s %v: %s %v", path, query, got.Error, err)
	}
	if err := json.Unmarshal(got.Data, data); err != nil {
		p.t.Fatal(err)
	}
}

type result struct {
	Value [2]any
}

func (p *prometheus) query(expression string) []result {
	p.t.Helper()
	var got struct{ Result []result }
	p.get("/api/v1/query", url.Values{"query": {expression}, "time": {fmt.Sprint(float64(time.Now().UnixMilli()) / 1000)}}, &got)
	return got.Result
}

// samples is how many values an expression has now.
func (p *prometheus) samples(expression string) int {
	p.t.Helper()
	return len(p.query(expression))
}

// value is the first of them, or 0.
func (p *prometheus) value(expression string) (v float64) {
	p.t.Helper()
	if found := p.query(expression); len(found) > 0 {
		fmt.Sscan(fmt.Sprint(found[0].Value[1]), &v)
	}
	return v
}
