package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
)

// plot is a picture and what it shows.
type plot struct {
	file  string // its name in the directory of plots
	title string
	svg   string
}

const (
	plotWidth  = 760.0
	plotMargin = 12.0
)

// plots draws one picture a row, and one of the growth.
func plots(r *results) []plot {
	var all []plot
	grows := false
	for i := range r.Rows {
		row := &r.Rows[i]
		def := rowNamed(row.Row)
		if def.growth {
			grows = true
			continue
		}
		all = append(all, plot{file: row.Row + ".svg", title: row.Title, svg: barPlot(row, def.kind)})
	}
	if grows {
		all = append(all, plot{file: "growth.svg", title: "growth: request/response, 64 B", svg: growthPlot(r)})
	}
	return all
}

// writePlots writes the pictures and returns what it wrote.
func writePlots(r *results, dir string) ([]plot, error) {
	all := plots(r)
	for _, p := range all {
		if err := os.WriteFile(filepath.Join(dir, p.file), []byte(p.svg), 0o644); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// plotted are the metrics that are worth a panel.
func plotted(k kind) []metric {
	switch k {
	case kindBulk:
		return []metric{cpuPerGB, bytesPerSecond}
	case kindIdle:
		return []metric{pssPerSession, descriptorsPerSession}
	case kindSyscalls:
		return []metric{callsPerConnection, callsUnderLoad}
	}
	return []metric{cpuPerOp, opsPerSecond, latencyP99}
}

// colourOf gives each contestant the same colour in all pictures of all runs.
func colourOf(name string) int {
	return slices.Index([]string{"direct", "loop", "copy", "haproxy", "nginx", "socket-proxyd"}, name)
}

// barPlot puts the panels of a row side by side, each with a bar for every contestant that has the figure.
func barPlot(row *rowResult, k kind) string {
	const names, line, top = 110.0, 22.0, 56.0
	metrics := plotted(k)
	d := &drawing{width: plotWidth, height: top + line*float64(len(row.Cells)) + plotMargin}
	d.text(plotMargin, 20, "ink", "start", row.Title)
	for i, c := range row.Cells {
		d.text(names, top+line*float64(i)+15, "ink", "end", c.Contestant)
	}
	panel := (plotWidth - names - plotMargin) / float64(len(metrics))
	for j, m := range metrics {
		left := names + panel*float64(j) + 8
		d.text(left, top-10, "dim", "start", caption(m))
		largest := 0.0
		for i := range row.Cells {
			if v, ok := row.Cells[i].value(m); ok {
				largest = max(largest, v)
			}
		}
		for i := range row.Cells {
			v, ok := row.Cells[i].value(m)
			y := top + line*float64(i)
			if !ok {
				d.text(left, y+15, "dim", "start", "–")
				continue
			}
			room := panel - 80
			w := 0.0
			if largest > 0 && v > 0 {
				w = room * v / largest
			}
			d.bar(left, y+3, w, line-7, colourOf(row.Cells[i].Contestant))
			d.text(left+w+5, y+15, "ink", "start", number(v, m.digits, true))
		}
	}
	return d.String()
}

func caption(m metric) string {
	s := m.title
	if m.unit != "" {
		s += ", " + m.unit
	}
	switch m.better {
	case higher:
		s += " (more is better)"
	case lower:
		s += " (less is better)"
	}
	return s
}

// growthPlot draws the proxy's CPU time an operation, and the rate, over the number of sessions.
func growthPlot(r *results) string {
	const top, height, legend = 56.0, 230.0, 26.0
	d := &drawing{width: plotWidth, height: top + height + 36 + legend}
	d.text(plotMargin, 20, "ink", "start", "growth: request/response, 64 B, by number of sessions")
	metrics := []metric{cpuPerOp, opsPerSecond}
	panel := plotWidth / float64(len(metrics))
	for j, m := range metrics {
		left := panel*float64(j) + 62
		growthPanel(d, r, m, left, top, panel-62-plotMargin-8, height)
	}
	x := plotMargin
	for _, c := range r.Contestants {
		y := top + height + 36 + 10
		d.bar(x, y-9, 10, 10, colourOf(c.Name))
		d.text(x+15, y, "ink", "start", c.Name)
		x += 32 + 8*float64(len(c.Name))
	}
	return d.String()
}

// growthPanel has the sessions on a logarithmic axis across and the metric, from zero on, upwards. One that is far
// above the others does not flatten them: its point is at the top edge, with its figure beside it.
func growthPanel(d *drawing, r *results, m metric, left, top, width, height float64) {
	var rows []row
	for _, def := range allRows {
		if def.growth && r.row(def.name) != nil {
			rows = append(rows, def)
		}
	}
	var values []float64
	for _, def := range rows {
		for i := range r.row(def.name).Cells {
			if v, ok := r.row(def.name).Cells[i].value(m); ok {
				values = append(values, v)
			}
		}
	}
	if values == nil {
		return
	}
	largest := max(min(slices.Max(values), 4*median(values)), 1e-9)
	first, last := math.Log10(float64(rows[0].sessions)), math.Log10(float64(rows[len(rows)-1].sessions))
	x := func(sessions int) float64 {
		return left + width*(math.Log10(float64(sessions))-first)/max(last-first, 1)
	}
	y := func(v float64) float64 { return top + height*(1-v/(largest*1.05)) }
	d.text(left-50, top-12, "dim", "start", caption(m))
	step := tick(largest)
	for v := 0.0; v <= largest*1.05; v += step {
		d.rule(left, y(v), left+width, y(v))
		digits := 0
		if step < 1 {
			digits = 1
		}
		d.text(left-6, y(v)+4, "dim", "end", number(v, digits, true))
	}
	for _, def := range rows {
		d.text(x(def.sessions), top+height+18, "dim", "middle", number(float64(def.sessions), 0, true))
	}
	for _, c := range r.Contestants {
		var line []point
		for _, def := range rows {
			if v, ok := r.row(def.name).cell(c.Name).value(m); ok {
				if v > largest {
					d.text(x(def.sessions)-8, y(largest)+4, "dim", "end", number(v, 0, true))
					v = largest
				}
				line = append(line, point{x(def.sessions), y(v)})
			}
		}
		if line != nil {
			d.line(line, colourOf(c.Name))
		}
	}
}
