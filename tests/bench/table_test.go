package main

import (
	"strings"
	"testing"
)

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v      float64
		digits int
		want   string
	}{
		{0, 0, "0"}, {999, 0, "999"}, {1000, 0, "1,000"}, {1234567.891, 2, "1,234,567.89"}, {-1234, 0, "-1,234"}, {-123, 0, "-123"}, {0.126, 2, "0.13"},
	} {
		if got := number(c.v, c.digits, true); got != c.want {
			t.Errorf("number(%v, %d) = %q, want %q", c.v, c.digits, got, c.want)
		}
	}
	if got := number(5, 1, false); got != "–" {
		t.Errorf("no number = %q", got)
	}
}

func TestGridText(t *testing.T) {
	got := grid{head: []string{"name", "µs"}, lines: [][]string{{"a", "1,234"}, {"longer", "–"}}}.text()
	want := "  name       µs\n  a       1,234\n  longer      –\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTablesShowFailures(t *testing.T) {
	text := tables(someResults())
	for _, want := range []string{"nginx failed (2 times): did not listen", "loop, one at a time: read 2.00", "haproxy 40 %", "1.20"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
