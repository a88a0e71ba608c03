package main

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// someResults has one of ours, two peers and no proxy, in a row with rates and one with counts.
func someResults() *results {
	ops := func(name string, rate, p99, cpu float64) cellResult {
		c := cellResult{Contestant: name}
		for _, f := range []float64{0.9, 1, 1.3} {
			c.Samples = append(c.Samples, sample{opsPerSecond.key: rate * f, latencyP99.key: p99 * f, cpuPerOp.key: cpu * f})
		}
		return c
	}
	nothing := ops("direct", 5000, 10, 0)
	for _, s := range nothing.Samples {
		delete(s, cpuPerOp.key)
	}
	return &results{
		Began: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC), Took: 60, Command: "go run ./tests/bench", Repeats: 3, Measure: 1,
		Machine: machine{CPU: "Some CPU", Cores: 2, Kernel: "6.1", System: "Debian", Go: "go1"},
		Contestants: []contestantTag{{"loop", roleOurs, "tcp-proxy 1"}, {"haproxy", rolePeer, "2.6"}, {"nginx", rolePeer, "1.22"},
			{"direct", roleDirect, ""}},
		Rows: []rowResult{
			{Row: "rr64x64", Title: "request/response", Cells: []cellResult{ops("loop", 1200, 80, 9), ops("haproxy", 1000, 100, 12),
				ops("nginx", 900, 90, 10), nothing}},
			{Row: "grow100", Title: "growth", Cells: []cellResult{ops("loop", 1000, 80, 10)}},
			{Row: "grow5000", Title: "growth", Cells: []cellResult{ops("loop", 1000, 80, 13.1)}},
			{Row: "syscalls", Title: "calls", Cells: []cellResult{
				{Contestant: "loop", Samples: []sample{{callsPerConnection.key: 15.96}}, Calls: map[string]float64{"read": 2}},
				{Contestant: "nginx", Failed: 2, Failure: "did not listen"}}},
		},
	}
}

func TestRatioIsToTheBestPeerOfEachFigure(t *testing.T) {
	r := someResults()
	for _, c := range []struct {
		contestant string
		metric     metric
		ratio      float64
		ok         bool
	}{
		{"loop", opsPerSecond, 1.2, true},      // to haproxy
		{"loop", latencyP99, 80.0 / 90, true},  // to nginx
		{"loop", cpuPerOp, 0.9, true},          // to nginx
		{"haproxy", opsPerSecond, 1, true},     // the best itself
		{"direct", opsPerSecond, 5, true},      // is no peer
		{"direct", cpuPerOp, 0, false},         // has none
		{"loop", callsPerConnection, 0, false}, // not in this row
		{"absent", opsPerSecond, 0, false},
		{"loop", otherCPU, 0, false},
	} {
		if got, ok := r.ratio("rr64x64", c.contestant, c.metric); got != c.ratio || ok != c.ok {
			t.Errorf("%s, %s: %v, %v, want %v, %v", c.contestant, c.metric.key, got, ok, c.ratio, c.ok)
		}
	}
	if _, ok := r.ratio("bulk1", "loop", cpuPerGB); ok {
		t.Error("a row that was not measured has a ratio")
	}
}

func TestJudge(t *testing.T) {
	r := someResults()
	r.row("rr64x64").cell("loop").Samples[0][cpuPerOp.key] = 9 // the median stays
	want := map[string]string{
		"rr64x64 CPU an operation":    "met", // 0.90 of nginx
		"rr64x64 rate":                "met",
		"rr64x64 p99":                 "met",
		"grow5000 CPU an operation":   "missed", // 1.31 of itself at 100
		"syscalls calls a connection": "met",    // 16.0, as printed
	}
	verdicts := judge(r)
	for _, v := range verdicts {
		key := v.bar.row + " " + v.bar.what
		if w, ok := want[key]; !ok || v.String() != w {
			t.Errorf("%s: %s (%v), want %q", key, v, v.value, w)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("no verdict on %v", want)
	}
	if text := barsTable(verdicts); !strings.Contains(text, "bars: 4 of 5 hold") {
		t.Error(text)
	}
	r.row("rr64x64").cell("loop").Failed = 1
	for _, v := range judge(r) {
		if v.bar.row == "rr64x64" && v.holds() {
			t.Errorf("%s holds although a repeat failed", v.bar.what)
		}
	}
}

func TestEveryBarBelongsToARow(t *testing.T) {
	for _, b := range allBars {
		if rowNamed(b.row).name == "" {
			t.Errorf("bar %q is about row %q", b.what, b.row)
		}
	}
}

func TestLoadSample(t *testing.T) {
	r := clientResult{Seconds: 2, Operations: 1000, Bytes: 4e9, P50: 1000, P99: 2500, P999: 9000}
	used := usage{proxy: time.Second, client: 500 * time.Millisecond, target: 250 * time.Millisecond, machine: 2 * time.Second}
	got, err := loadSample(kindExchange, r, used, false)
	want := sample{opsPerSecond.key: 500, latencyP50.key: 1, latencyP99.key: 2.5, latencyP999.key: 9, cpuPerOp.key: 1000,
		proxyCPU.key: 50, clientCPU.key: 25, targetCPU.key: 12.5, otherCPU.key: 12.5}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("exchange: %v, %v, want %v", got, err, want)
	}
	got, err = loadSample(kindBulk, r, used, false)
	want = sample{bytesPerSecond.key: 2, cpuPerGB.key: 0.25, proxyCPU.key: 50, clientCPU.key: 25, targetCPU.key: 12.5, otherCPU.key: 12.5}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("bulk: %v, %v, want %v", got, err, want)
	}
	used.proxy = 0
	got, err = loadSample(kindBulk, r, used, true)
	want = sample{bytesPerSecond.key: 2, clientCPU.key: 25, targetCPU.key: 12.5, otherCPU.key: 62.5}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("bulk without a proxy: %v, %v, want %v", got, err, want)
	}
	if s, err := loadSample(kindExchange, clientResult{Seconds: 1}, usage{}, false); err == nil {
		t.Errorf("nothing moved, and yet %v", s)
	}
}

func TestDisturbed(t *testing.T) {
	r := someResults()
	r.Others = 25
	for i, v := range []float64{24, 25, 26} {
		r.row("rr64x64").cell("nginx").Samples[i][otherCPU.key] = v
	}
	if n, all := r.disturbed(); n != 1 || all != 3 {
		t.Errorf("%d of %d samples are disturbed", n, all)
	}
}

func TestResultsSurviveTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	r := someResults()
	if err := writeResults(r, path); err != nil {
		t.Fatal(err)
	}
	back, err := readResults(path)
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("read back %+v, %v", back, err)
	}
}
