package admin

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/upstream"
	"tcp-proxy/tests/fakenode"
)

func scrape(t *testing.T, s *proxy.Snapshot) map[string]*dto.MetricFamily {
	t.Helper()
	text, err := newGatherer("1.2.3").text(s)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	found, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return found
}

// seriesOf gives the values of a family by what its labels are.
func seriesOf(f *dto.MetricFamily) map[string]float64 {
	values := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.Label {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		key := strings.Join(labels, ",")
		if _, twice := values[key]; twice {
			key += " twice"
		}
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			values[key] = m.GetCounter().GetValue()
		case dto.MetricType_GAUGE:
			values[key] = m.GetGauge().GetValue()
		case dto.MetricType_HISTOGRAM:
			values[key] = float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

// Every metric is what the table says: its name and type, the labels and no others, each series once.
func TestMetricsAreWhatTheySay(t *testing.T) {
	s := fakenode.New(4, 11).Snapshot()
	s.Apps[0].Targets[0].MaxSessions = 7
	s.Apps[0].Ports[0].Systemd = true
	found := scrape(t, &s)
	described := map[string]bool{}
	for _, m := range Metrics() {
		described[m.Name] = true
		f := found[m.Name]
		if f == nil {
			t.Errorf("%s is not there", m.Name)
			continue
		}
		if !strings.EqualFold(f.GetType().String(), m.Type) || f.GetHelp() != m.Help {
			t.Errorf("%s is a %s, %q; want a %s, %q", m.Name, f.GetType(), f.GetHelp(), m.Type, m.Help)
		}
		if counts := strings.HasSuffix(m.Name, "_total"); counts != (m.Type == "counter") || !regexp.MustCompile(`^tcp_proxy_[a-z_]+$`).MatchString(m.Name) {
			t.Errorf("%s is no good name of a %s", m.Name, m.Type)
		}
		for key := range seriesOf(f) {
			var labels []string
			for pair := range strings.SplitSeq(key, ",") {
				if name, _, ok := strings.Cut(pair, "="); ok {
					labels = append(labels, name)
				}
			}
			slices.Sort(labels)
			if !slices.Equal(labels, slices.Sorted(slices.Values(m.Labels))) || strings.HasSuffix(key, "twice") {
				t.Errorf("%s{%s}, want the labels %v, once", m.Name, key, m.Labels)
			}
		}
	}
	for name := range found {
		if !described[name] && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is not described", name)
		}
	}
	if found["go_goroutines"] == nil || found["process_open_fds"] == nil {
		t.Error("those of the process are missing")
	}
}

// The values are those of the snapshot.
func TestMetricsHaveTheSnapshot(t *testing.T) {
	second := func(n int64) time.Time { return time.Unix(n, 500e6) }
	var h meter.Histogram
	for _, d := range []time.Duration{time.Millisecond, time.Second, 48 * time.Hour} {
		h.Add(d)
	}
	s := proxy.Snapshot{
		State: proxy.Draining, Engine: "copy", Started: second(100),
		Workers: proxy.Workers{Busy: 3, Max: 50, Paused: map[string]uint64{proxy.PausedError: 4}},
		Reloads: proxy.Reloads{Succeeded: 2, Refused: 1, LastSuccess: second(200), Problem: "a mistake"},
		Log:     proxy.Log{Lost: 11},
		Names:   []proxy.Name{{Name: "n\nm", Addresses: []string{"1", "2"}, Problem: "timeout", Overdue: 6.5}},
		Apps: []proxy.App{{
			Name: `a"\` + "\n", Active: 5, Upload: 1 << 60, Download: 7, Sources: 9, Connect: h.Read(),
			Ended: map[string]uint64{"client_closed": 6, "new": 7}, Refused: map[string]uint64{"denied": 8},
			Ports: []proxy.Port{{Name: "1"}, {Name: "2", Problem: "no"}, {Name: "systemd:web", Address: "[::]:3", Systemd: true}},
			Targets: []proxy.Target{
				{Name: "t", State: upstream.Alive, Active: 1, Sessions: 2, MaxSessions: 3, Connect: 0.0015, Upload: 12, Download: 34,
					Failures: map[string]uint64{"refused": 4}, Probe: &proxy.Probe{Passed: 5, Failed: 6}},
				{Name: "new", State: upstream.Alive, Untested: true}, {Name: "dead", State: upstream.Dead}, {Name: "down", State: upstream.Down}, {Name: "drained", State: upstream.Draining},
			},
		}},
	}
	found := scrape(t, &s)
	app := "app=" + s.Apps[0].Name
	for name, want := range map[string]map[string]float64{
		"sessions_active":        {app: 5},
		"sessions_total":         withEveryCause(app, map[string]float64{"client_closed": 6, "new": 7}),
		"sessions_refused_total": {app + ",reason=denied": 8},
		"bytes_total":            {app + ",direction=upload": 1 << 60, app + ",direction=download": 7},
		"connect_seconds":        {app: 3},
		"session_seconds":        {app: 0},
		"limited_sources":        {app: 9},
		"ports":                  {app: 3},
		"ports_failing":          {app: 1},
		"systemd_socket_info":    {app + ",port=systemd:web,address=[::]:3": 1},
		"target_untested":        {app + ",target=t": 0, app + ",target=new": 1, app + ",target=dead": 0, app + ",target=down": 0, app + ",target=drained": 0},
		"target_up":              {app + ",target=t": 1, app + ",target=new": 1, app + ",target=dead": 0, app + ",target=down": 0, app + ",target=drained": 0},
		"target_disabled":        {app + ",target=t": 0, app + ",target=new": 0, app + ",target=dead": 0, app + ",target=down": 1, app + ",target=drained": 1},
		"target_sessions_active": {app + ",target=t": 1, app + ",target=new": 0, app + ",target=dead": 0, app + ",target=down": 0, app + ",target=drained": 0},
		"target_sessions_max":    {app + ",target=t": 3},
		"target_sessions_total":  {app + ",target=t": 2, app + ",target=new": 0, app + ",target=dead": 0, app + ",target=down": 0, app + ",target=drained": 0},
		"target_bytes_total": {
			app + ",target=t,direction=upload": 12, app + ",target=t,direction=download": 34, app + ",target=new,direction=upload": 0,
			app + ",target=new,direction=download": 0, app + ",target=dead,direction=upload": 0, app + ",target=dead,direction=download": 0,
			app + ",target=down,direction=upload": 0, app + ",target=down,direction=download": 0,
			app + ",target=drained,direction=upload": 0, app + ",target=drained,direction=download": 0,
		},
		"target_connect_errors_total":           {app + ",target=t,reason=refused": 4},
		"target_connect_seconds":                {app + ",target=t": 0.0015},
		"target_probes_total":                   {app + ",target=t,result=passed": 5, app + ",target=t,result=failed": 6},
		"name_addresses":                        {"name=n\nm": 2},
		"name_failing":                          {"name=n\nm": 1},
		"name_overdue_seconds":                  {"name=n\nm": 6.5},
		"workers_busy":                          {"": 3},
		"workers_max":                           {"": 50},
		"accept_paused_total":                   {"reason=error": 4, "reason=workers": 0},
		"reloads_total":                         {"result=succeeded": 2, "result=refused": 1},
		"last_reload_successful":                {"": 0},
		"log_entries_lost_total":                {"": 11},
		"last_reload_success_timestamp_seconds": {"": 200.5},
		"stage":                                 {"stage=starting": 0, "stage=serving": 0, "stage=draining": 1, "stage=stopping": 0},
		"start_timestamp_seconds":               {"": 100.5},
		"engine_info":                           {"engine=copy": 1},
	} {
		if got := seriesOf(found["tcp_proxy_"+name]); !maps.Equal(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got := fmt.Sprint(seriesOf(found["tcp_proxy_build_info"])); !strings.Contains(got, "version=1.2.3") {
		t.Errorf("build_info is %s", got)
	}
	histogram := found["tcp_proxy_connect_seconds"].Metric[0].Histogram
	for _, b := range histogram.Bucket {
		want := uint64(0)
		for _, v := range []float64{0.001, 1, 48 * 3600} {
			if v <= b.GetUpperBound() {
				want++
			}
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("%d up to %g s, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
		}
	}
	if n := len(histogram.Bucket); n != len(meter.Bounds)+1 {
		t.Errorf("%d buckets", n)
	}
	if want := 48*3600 + 1.001; histogram.GetSampleSum() != want {
		t.Errorf("the sum is %g, want %g", histogram.GetSampleSum(), want)
	}
}

// Of what has not happened yet there is no time: a gauge of 0 would be the year 1970.
func TestMetricsBeforeTheStart(t *testing.T) {
	found := scrape(t, &proxy.Snapshot{State: proxy.Starting, Engine: "loop"})
	for _, name := range []string{"start_timestamp_seconds", "last_reload_success_timestamp_seconds"} {
		if f := found["tcp_proxy_"+name]; f != nil {
			t.Errorf("%s is %v", name, seriesOf(f))
		}
	}
}

// withEveryCause gives the series of an app's sessions: the causes that the package of the engines has, and those given.
func withEveryCause(app string, given map[string]float64) map[string]float64 {
	source, err := os.ReadFile("../relay/cause.go")
	if err != nil {
		panic(err)
	}
	series := map[string]float64{}
	for _, m := range regexp.MustCompile(`Cause = "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		series[app+",cause="+m[1]] = 0
	}
	for cause, n := range given {
		series[app+",cause="+cause] = n
	}
	return series
}

// What a scrape and a status of a large proxy cost.
func BenchmarkMetrics(b *testing.B) {
	s := fakenode.New(1000, 10).Snapshot()
	g := newGatherer("")
	for b.Loop() {
		if _, err := g.text(&s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompressedMetrics(b *testing.B) {
	s := fakenode.New(1000, 10).Snapshot()
	g := newGatherer("")
	for b.Loop() {
		text, err := g.text(&s)
		if err != nil {
			b.Fatal(err)
		}
		compress(text)
	}
}
