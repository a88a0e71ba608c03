package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The figures of a page are what stands between these two lines; all else is left as it is.
const (
	figuresBegin = "<!-- figures: written by the benchmark, do not edit -->"
	figuresEnd   = "<!-- end of figures -->"
)

// writeDocs replaces the figures of a page, or begins a page that is not there, and puts the plots and the results
// into a directory beside it that has the page's name without its ending.
func writeDocs(r *results, page string) error {
	dir := strings.TrimSuffix(page, filepath.Ext(page))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	drawn, err := writePlots(r, dir)
	if err != nil {
		return err
	}
	if err := writeResults(r, filepath.Join(dir, "results.json")); err != nil {
		return err
	}
	text, err := os.ReadFile(page)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte("# Performance\n\n" + figuresBegin + "\n" + figuresEnd + "\n")
	} else if err != nil {
		return err
	}
	replaced, err := replaceFigures(string(text), figures(r, filepath.Base(dir), drawn))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(replaced), 0o644)
}

func replaceFigures(text, figures string) (string, error) {
	before, rest, ok := strings.Cut(text, figuresBegin)
	if !ok {
		return "", fmt.Errorf("no line %q", figuresBegin)
	}
	_, after, ok := strings.Cut(rest, figuresEnd)
	if !ok {
		return "", fmt.Errorf("no line %q", figuresEnd)
	}
	return before + figuresBegin + "\n\n" + strings.TrimSpace(figures) + "\n\n" + figuresEnd + after, nil
}

// figures is the Markdown of a run: the comparison, the machine, how to repeat it, for each row its plot and table, and the
// bars.
func figures(r *results, dir string, drawn []plot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Comparison\n\n%s\n"+
		"Rates: more is better; all other figures: less is better. The last columns are ratios to the best peer (HAProxy, nginx or "+
		"systemd-socket-proxyd, whichever is best at that figure). ", comparison(r).markdown())
	b.WriteString(disturbance(r) + "\n\n## Machine and versions\n\n")
	m := r.Machine
	fmt.Fprintf(&b, "Measured on %s in %.0f minutes: medians of %d repeats of %.1f s each. The machine: %s, %d cores, Linux %s, %s, %s.\n",
		r.Began.Format("2006-01-02"), r.Took/60, r.Repeats, r.Measure, m.CPU, m.Cores, m.Kernel, m.System, m.Go)
	if m.Namespaces {
		b.WriteString("Each cell ran in a fresh network namespace, on its loopback interface")
	} else {
		b.WriteString("All cells ran on the machine's loopback interface")
	}
	if m.User != "" {
		fmt.Fprintf(&b, "; the proxies ran as the user %s", m.User)
	}
	fmt.Fprintf(&b, ".\nTo repeat it:\n\n```sh\n%s\n```\n\n", r.Command)
	b.WriteString("| contestant | version |\n|---|---|\n")
	for _, c := range r.Contestants {
		if c.Version != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", c.Name, c.Version)
		}
	}
	b.WriteString("\n## Each load\n\n× is the ratio to the best peer. CPU columns in “% core” are what each party used of one core; " +
		"“others” is everything else on the machine, the bench included.\n")
	for i := range r.Rows {
		row := &r.Rows[i]
		fmt.Fprintf(&b, "\n### %s\n\n", strings.ToUpper(row.Title[:1])+row.Title[1:])
		for _, p := range drawn {
			if p.file == row.Row+".svg" {
				fmt.Fprintf(&b, "![%s](%s/%s)\n\n", p.title, dir, p.file)
			}
		}
		b.WriteString(gridOf(r, row).markdown())
		for _, n := range notes(row) {
			fmt.Fprintf(&b, "\n- %s", n)
		}
		b.WriteString("\n")
	}
	for _, p := range drawn {
		if p.file == "growth.svg" {
			fmt.Fprintf(&b, "\n### Growth\n\n![%s](%s/%s)\n", p.title, dir, p.file)
		}
	}
	if all := judge(r); len(all) > 0 {
		fmt.Fprintf(&b, "\n## Bars\n\nBars are goals of the project. Most demand a lead over the best peer, of each engine.\n\n%s", barsGrid(all).markdown())
	}
	return b.String()
}
