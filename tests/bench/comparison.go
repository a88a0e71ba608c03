package main

import (
	"slices"
	"strings"
)

// compared are the figures of a row that the comparison shows.
var compared = []string{bytesPerSecond.key, cpuPerGB.key, opsPerSecond.key, cpuPerOp.key, latencyP99.key, pssPerSession.key, callsPerConnection.key}

// comparison is the run in one table: a line for each of the compared figures, a column for each proxy, and one for the ratio
// of each engine to the best peer. Rows without a peer are left out, and those about growth, which have a plot.
func comparison(r *results) grid {
	g := grid{head: []string{"load", "figure"}}
	var ours []string
	for _, c := range r.Contestants {
		switch c.Role {
		case roleOurs:
			ours = append(ours, c.Name)
			g.head = append(g.head, c.Name)
		case rolePeer:
			g.head = append(g.head, c.Name)
		}
	}
	proxies := g.head[2:]
	for _, name := range ours {
		g.head = append(g.head, name+" ×")
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		if strings.HasPrefix(row.Row, "grow") {
			continue
		}
		for _, m := range rowNamed(row.Row).kind.metrics() {
			if _, peer := r.bestPeer(row.Row, m); peer == "" || !slices.Contains(compared, m.key) {
				continue
			}
			figure := m.title
			if m.unit != "" {
				figure += ", " + m.unit
			}
			line := []string{row.Title, figure}
			for _, name := range proxies {
				v, ok := row.cell(name).value(m)
				line = append(line, number(v, m.digits, ok))
			}
			for _, name := range ours {
				q, ok := r.ratio(row.Row, name, m)
				line = append(line, number(q, 2, ok))
			}
			g.lines = append(g.lines, line)
		}
	}
	return g
}
