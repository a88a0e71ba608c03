package main

import (
	"fmt"
	"math"
)

// bar is a claim about tcp-proxy: a limit for one figure of one row.
type bar struct {
	row    string
	what   string
	limit  float64
	atMost bool
	digits int
	// figure of an engine, and what it is compared with; ok is false if it was not measured.
	figure func(r *results, engine string) (value float64, against string, ok bool)
}

var allBars = func() []bar {
	var bars []bar
	toPeer := func(row, what string, m metric, limit float64) {
		bars = append(bars, bar{row: row, what: what, limit: limit, atMost: m.better == lower, digits: 2,
			figure: func(r *results, engine string) (float64, string, bool) {
				q, ok := r.ratio(row, engine, m)
				_, peer := r.bestPeer(row, m)
				return q, "ratio to " + peer, ok
			}})
	}
	absolute := func(row, what, unit string, m metric, limit float64) {
		bars = append(bars, bar{row: row, what: what, limit: limit, atMost: true, digits: max(m.digits, 1),
			figure: func(r *results, engine string) (float64, string, bool) {
				v, ok := r.row(row).cell(engine).value(m)
				return v, unit, ok
			}})
	}
	for _, row := range []string{"bulk1", "bulk8"} {
		toPeer(row, "CPU a GB", cpuPerGB, 0.85)
		toPeer(row, "rate", bytesPerSecond, 1)
	}
	for _, row := range []string{"rr64x1", "rr64x64", "rr16kx16"} {
		toPeer(row, "CPU an operation", cpuPerOp, 0.9)
		toPeer(row, "rate", opsPerSecond, 1)
		toPeer(row, "p99", latencyP99, 1)
	}
	toPeer("connect16", "CPU a connection", cpuPerOp, 0.85)
	toPeer("connect16", "rate", opsPerSecond, 1)
	toPeer("connect16", "p99", latencyP99, 1)
	absolute("idle3000", "PSS a session", "KiB", pssPerSession, 0.7)
	absolute("idle3000", "descriptors a session", "", descriptorsPerSession, 2)
	absolute("idle3000", "pipe ends a session", "", pipesPerSession, 0)
	absolute("idle3000", "idle CPU", "% of a core", idleCPU, 0.05)
	bars = append(bars, bar{row: "grow5000", what: "CPU an operation", limit: 1.3, atMost: true, digits: 2,
		figure: func(r *results, engine string) (float64, string, bool) {
			small, ok1 := r.row("grow100").cell(engine).value(cpuPerOp)
			large, ok2 := r.row("grow5000").cell(engine).value(cpuPerOp)
			return large / small, "ratio to itself at 100 sessions", ok1 && ok2
		}})
	absolute("syscalls", "calls a connection", "one at a time", callsPerConnection, 16)
	return bars
}()

// verdict is the result of an engine for a bar.
type verdict struct {
	bar      bar
	engine   string
	value    float64
	against  string
	measured bool
	failed   bool // the engine did not get through the row, if only once
}

// holds compares what is printed, so that the table never says that 0.85 misses 0.85.
func (v verdict) holds() bool {
	scale := math.Pow10(v.bar.digits)
	value := math.Round(v.value*scale) / scale
	switch {
	case !v.measured || v.failed:
		return false
	case v.bar.atMost:
		return value <= v.bar.limit
	}
	return value >= v.bar.limit
}

func (v verdict) String() string {
	switch {
	case !v.measured && !v.failed:
		return "not measured"
	case v.holds():
		return "met"
	}
	return "missed"
}

// judge holds each engine against each bar whose row is part of the run.
func judge(r *results) []verdict {
	var all []verdict
	for _, c := range r.Contestants {
		if c.Role != roleOurs {
			continue
		}
		for _, b := range allBars {
			if r.row(b.row) == nil {
				continue
			}
			v := verdict{bar: b, engine: c.Name}
			if cell := r.row(b.row).cell(c.Name); cell != nil {
				v.failed = cell.Failed > 0
			}
			v.value, v.against, v.measured = b.figure(r, c.Name)
			all = append(all, v)
		}
	}
	return all
}

// barsGrid is a line for each bar and engine.
func barsGrid(all []verdict) grid {
	g := grid{head: []string{"row", "engine", "figure", "bar", "measured", "as", "verdict"}}
	for _, v := range all {
		sign := "≥"
		if v.bar.atMost {
			sign = "≤"
		}
		g.lines = append(g.lines, []string{v.bar.row, v.engine, v.bar.what, sign + " " + number(v.bar.limit, v.bar.digits, true),
			number(v.value, v.bar.digits, v.measured), v.against, v.String()})
	}
	return g
}

// barsTable is what a terminal shows of the verdicts.
func barsTable(all []verdict) string {
	if len(all) == 0 {
		return "bars: no engine of tcp-proxy was measured\n"
	}
	held := 0
	for _, v := range all {
		if v.holds() {
			held++
		}
	}
	return fmt.Sprintf("bars: %d of %d hold\n%s", held, len(all), barsGrid(all).text())
}
