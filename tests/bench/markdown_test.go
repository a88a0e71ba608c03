package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceFigures(t *testing.T) {
	page := "# Title\nbefore\n" + figuresBegin + "\nold\n" + figuresEnd + "\nafter\n"
	got, err := replaceFigures(page, "new\n")
	if want := "# Title\nbefore\n" + figuresBegin + "\n\nnew\n\n" + figuresEnd + "\nafter\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if again, err := replaceFigures(got, "new"); err != nil || again != got {
		t.Errorf("a second time changes the page: %q, %v", again, err)
	}
	for _, bad := range []string{"", figuresBegin, figuresEnd + figuresBegin} {
		if got, err := replaceFigures(bad, "new"); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

// The page links only to pictures that are there, and the pictures are well-formed.
func TestWriteDocs(t *testing.T) {
	page := filepath.Join(t.TempDir(), "performance.md")
	for range 2 {
		if err := writeDocs(someResults(), page); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, part := range strings.Split(string(text), "](")[1:] {
		name, _, _ := strings.Cut(part, ")")
		picture, err := os.Open(filepath.Join(filepath.Dir(page), name))
		if err != nil {
			t.Error(err)
			continue
		}
		for d := xml.NewDecoder(picture); err == nil; {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		picture.Close()
		links++
	}
	if want := 3; links != want {
		t.Errorf("%d pictures, want %d, in\n%s", links, want, text)
	}
	if n := strings.Count(string(text), "Measured on 2024-05-06"); n != 1 {
		t.Errorf("the figures are there %d times", n)
	}
}

func TestTick(t *testing.T) {
	for span, want := range map[float64]float64{0: 1, 1: 0.2, 4: 1, 10: 2, 23: 5, 26: 10, 5000: 1000, 90000: 20000} {
		if got := tick(span); got != want {
			t.Errorf("tick(%v) = %v, want %v", span, got, want)
		}
	}
}
