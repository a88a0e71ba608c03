package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestComparison(t *testing.T) {
	g := comparison(someResults())
	if want := []string{"load", "figure", "loop", "haproxy", "nginx", "loop ×"}; !slices.Equal(g.head, want) {
		t.Errorf("the head is %q, want %q", g.head, want)
	}
	want := [][]string{
		{"request/response", "rate, op/s", "1,200", "1,000", "900", "1.20"},
		{"request/response", "p99, µs", "80", "100", "90", "0.89"},
		{"request/response", "proxy CPU, µs/op", "9.00", "12.00", "10.00", "0.90"},
	}
	if !slices.EqualFunc(g.lines, want, slices.Equal) {
		t.Errorf("the lines are %q, want %q", g.lines, want)
	}
}

// A reader of the page sees the comparison before anything else about a run, and the bars last.
func TestPageBeginsWithTheComparison(t *testing.T) {
	fresh := filepath.Join(t.TempDir(), "performance.md")
	if err := writeDocs(someResults(), fresh); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{fresh, "../../docs/performance.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		at := -1
		for _, heading := range []string{"## Comparison", "## Machine and versions", "## Each load", "## Bars"} {
			i := strings.Index(string(text), "\n"+heading+"\n")
			if i <= at {
				t.Errorf("%s: %q is missing, or too early", page, heading)
			}
			at = i
		}
		if before, _, _ := strings.Cut(string(text), "## Comparison"); strings.Count(before, "\n") > 10 {
			t.Errorf("%s: the comparison comes only after %d lines", page, strings.Count(before, "\n"))
		}
	}
}

// The figures in the docs are those of the results beside them, written by this generator.
func TestPageIsGenerated(t *testing.T) {
	const page = "../../docs/performance.md"
	r, err := readResults("../../docs/performance/results.json")
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := writePlots(r, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want, err := replaceFigures(string(text), figures(r, "performance", drawn))
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want {
		t.Errorf("%s is not up to date: go run ./tests/bench -from docs/performance/results.json -docs docs/performance.md", page)
	}
}
