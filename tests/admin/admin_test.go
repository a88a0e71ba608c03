// Package admin holds the black-box tests of what can be seen of a running proxy and what it can be told: the admin API,
// the commands that use it, and what is made of the metrics. What is about sessions runs once for every engine.
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tcp-proxy/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// A seen is a proxy with the admin API on a unix socket and a TCP address.
type seen struct {
	*harness.Proxy
	t      testing.TB
	rig    *harness.Rig
	config harness.Config // as it was started
	socket string
	tcp    string
}

// see starts a proxy with the admin API.
func see(r *harness.Rig, config harness.Config, arguments ...string) *seen {
	r.T.Helper()
	s := toSee(r, config)
	s.Proxy = r.Start(s.config, arguments...)
	return s
}

// toSee makes the configuration of a proxy with the admin API, which the caller starts.
func toSee(r *harness.Rig, config harness.Config) *seen {
	s := &seen{t: r.T, rig: r, socket: r.Path("admin.sock"), tcp: r.Address()}
	config.Admin = &harness.Admin{Listen: []string{"unix:" + s.socket, s.tcp}}
	config.Apps = slices.Clone(config.Apps)
	for i := range config.Apps {
		if config.Apps[i].Ports == nil {
			config.Apps[i].Ports = []any{r.Address()}
		}
	}
	s.config = config
	return s
}

// change writes a configuration to the file that the proxy reads.
func (s *seen) change(config any) {
	s.t.Helper()
	text, ok := config.(string)
	if !ok {
		data, err := json.Marshal(config)
		if err != nil {
			s.t.Fatal(err)
		}
		text = string(data)
	}
	if err := os.WriteFile(s.rig.Path("config.json"), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// An answer is what a request came to.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask makes a request over the unix socket, with a connection of its own.
func (s *seen) ask(method, path string) answer {
	s.t.Helper()
	got, err := request("unix", s.socket, method, path)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return got
}

func request(network, address, method, path string) (answer, error) {
	r, err := http.NewRequest(method, "http://localhost"+path, nil)
	if err != nil {
		return answer{}, err
	}
	client := http.Client{Timeout: harness.Timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
	response, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body)}, err
}

// A status is what the tests look at of /api/v1/status.
type status struct {
	Log struct {
		Lost    uint64 `json:"entries_lost"`
		Problem string
	}
	Version int    `json:"version"`
	State   string `json:"state"`
	Engine  string `json:"engine"`
	Workers struct {
		Busy, Max int
		Paused    map[string]uint64
	} `json:"workers"`
	Reloads struct {
		Succeeded, Refused uint64
		Problem            string
	} `json:"reloads"`
	Shortages []shortage        `json:"shortages"`
	Lacked    map[string]uint64 `json:"shortages_total"`
	Names     []struct {
		Name, Problem string
		Addresses     []string
	} `json:"names"`
	Apps   []app `json:"apps"`
	Events []struct {
		Number                          uint64
		Kind, App, Target, Text, Reason string
	} `json:"events"`
}

type shortage struct{ Kind, App, Problem string }

type app struct {
	Name     string            `json:"name"`
	Active   int64             `json:"sessions_active"`
	Ended    map[string]uint64 `json:"sessions_ended"`
	Refused  map[string]uint64 `json:"sessions_refused"`
	Upload   int64             `json:"bytes_upload"`
	Download int64             `json:"bytes_download"`
	Ports    []port            `json:"ports"`
	Targets  []target          `json:"targets"`
}

type port struct {
	Name, Address, Problem string
	Systemd                bool
}

type target struct {
	Name     string            `json:"name"`
	Address  string            `json:"address"`
	State    string            `json:"state"`
	Untested bool              `json:"untested"`
	Reason   string            `json:"reason"`
	Active   int64             `json:"sessions_active"`
	Sessions uint64            `json:"sessions_total"`
	Failures map[string]uint64 `json:"connect_failures"`
	Connect  float64           `json:"connect_seconds"`
}

// status reads how the proxy is doing.
func (s *seen) status() (got status) {
	s.t.Helper()
	a := s.ask(http.MethodGet, "/api/v1/status")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.code != http.StatusOK {
		s.t.Fatalf("status: code %d, %v: %s", a.code, err, a.body)
	}
	return got
}

// app gives one app of the status.
func (s *seen) app(name string) app {
	s.t.Helper()
	for _, a := range s.status().Apps {
		if a.Name == name {
			return a
		}
	}
	s.t.Fatalf("the status has no app %s", name)
	return app{}
}

// A scrape is the metrics of one moment: values by series, written as name{label="value",…} with sorted labels. A
// histogram is its _bucket, _sum and _count series.
type scrape map[string]float64

// scrape reads the metrics over TCP.
func (s *seen) scrape() scrape {
	s.t.Helper()
	a, err := request("tcp", s.tcp, http.MethodGet, "/metrics")
	if err != nil || a.code != http.StatusOK {
		s.t.Fatalf("scrape: code %d, %v", a.code, err)
	}
	got, err := parse(a.body)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func parse(text string) (scrape, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	got := scrape{}
	for name, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			series := func(suffix string, more ...string) string {
				all := append(slices.Clone(labels), more...)
				slices.Sort(all)
				if len(all) == 0 {
					return name + suffix
				}
				return name + suffix + "{" + strings.Join(all, ",") + "}"
			}
			switch {
			case m.Counter != nil:
				got[series("")] = m.Counter.GetValue()
			case m.Gauge != nil:
				got[series("")] = m.Gauge.GetValue()
			case m.Histogram != nil:
				for _, b := range m.Histogram.Bucket {
					got[series("_bucket", fmt.Sprintf("le=%q", fmt.Sprint(b.GetUpperBound())))] = float64(b.GetCumulativeCount())
				}
				got[series("_sum")] = m.Histogram.GetSampleSum()
				got[series("_count")] = float64(m.Histogram.GetSampleCount())
			}
		}
	}
	return got, nil
}

// of gives the value of a series of the proxy: its name without tcp_proxy_, and names and values of labels in turn.
func (sc scrape) of(name string, labels ...string) float64 {
	var pairs []string
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
	}
	slices.Sort(pairs)
	series := "tcp_proxy_" + name
	if len(pairs) > 0 {
		series += "{" + strings.Join(pairs, ",") + "}"
	}
	value, ok := sc[series]
	if !ok {
		return -1
	}
	return value
}
