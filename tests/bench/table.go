package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// grid is a table before it is laid out: a head and lines of as many cells.
type grid struct {
	head  []string
	lines [][]string
}

// gridOf is a row's table: a line for each contestant; for each comparable metric a column with the median and one
// with its ratio to the best peer.
func gridOf(r *results, row *rowResult) grid {
	metrics := rowNamed(row.Row).kind.metrics()
	g := grid{head: []string{"contestant"}}
	for _, m := range metrics {
		head := m.title
		if m.unit != "" {
			head += ", " + m.unit
		}
		g.head = append(g.head, head)
		if m.better != incomparable {
			g.head = append(g.head, "×")
		}
	}
	for i := range row.Cells {
		cell := &row.Cells[i]
		line := []string{cell.Contestant}
		for _, m := range metrics {
			v, ok := cell.value(m)
			line = append(line, number(v, m.digits, ok))
			if m.better != incomparable {
				q, ok := r.ratio(row.Row, cell.Contestant, m)
				line = append(line, number(q, 2, ok))
			}
		}
		g.lines = append(g.lines, line)
	}
	return g
}

// number prints a figure with thousands set apart, or a dash for none.
func number(v float64, digits int, ok bool) string {
	if !ok {
		return "–"
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	whole, rest, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return whole
}

// text lays a grid out for a terminal: the first column to the left, the others to the right.
func (g grid) text() string {
	widths := make([]int, len(g.head))
	for _, line := range append([][]string{g.head}, g.lines...) {
		for i, s := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(s))
		}
	}
	var b strings.Builder
	for _, line := range append([][]string{g.head}, g.lines...) {
		for i, s := range line {
			fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(s))
			if i == 0 {
				b.WriteString("  " + s + fill)
			} else {
				b.WriteString("  " + fill + s)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// markdown lays a grid out as a Markdown table.
func (g grid) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|---%s|\n", strings.Join(g.head, " | "), strings.Repeat("|--:", len(g.head)-1))
	for _, line := range g.lines {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
	}
	return b.String()
}

// notes are what a row's figures do not say: failures, how far the repeats lie apart, and system calls by name.
func notes(row *rowResult) []string {
	var all, spreads []string
	lead := rowNamed(row.Row).kind.metrics()[0]
	for i := range row.Cells {
		c := &row.Cells[i]
		if c.Failure != "" {
			all = append(all, fmt.Sprintf("%s failed (%d times): %s", c.Contestant, c.Failed, c.Failure))
		}
		if v := c.values(lead); len(v) > 1 {
			spreads = append(spreads, fmt.Sprintf("%s %.0f %%", c.Contestant, 100*spread(v)))
		}
	}
	if spreads != nil {
		all = append(all, fmt.Sprintf("%s, largest minus smallest over the repeats: %s", lead.title, strings.Join(spreads, ", ")))
	}
	for i := range row.Cells {
		c := &row.Cells[i]
		if len(c.Calls) > 0 {
			all = append(all, fmt.Sprintf("%s, one at a time: %s", c.Contestant, callList(c.Calls)))
		}
	}
	return all
}

// disturbance says how quiet the machine was.
func disturbance(r *results) string {
	n, all := r.disturbed()
	return fmt.Sprintf("In %d of %d samples others used more than %.0f %% of a core.", n, all, r.Others)
}

// tables is what a terminal shows of a run.
func tables(r *results) string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d cores, Linux %s, %s, %s; medians of %d × %.1f s\n", m.CPU, m.Cores, m.Kernel, m.System, m.Go, r.Repeats, r.Measure)
	for _, c := range r.Contestants {
		if c.Version != "" {
			fmt.Fprintf(&b, "  %-14s %s\n", c.Name, c.Version)
		}
	}
	b.WriteString("× is the ratio to the best peer: haproxy, nginx or socket-proxyd, whichever is best at that figure\n")
	b.WriteString(disturbance(r) + "\n")
	for i := range r.Rows {
		row := &r.Rows[i]
		fmt.Fprintf(&b, "\n%s: %s\n%s", row.Row, row.Title, gridOf(r, row).text())
		for _, n := range notes(row) {
			fmt.Fprintf(&b, "  · %s\n", n)
		}
	}
	return b.String()
}
