package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat("4711 (a) b (c) S 42 4711 4711 0 -1 4194304 1 0 0 0 3 4 0 0 20 0 1 0 987654 1000 2 0 0\n")
	if err != nil || got != (process{pid: 4711, parent: 42, start: 987654}) {
		t.Errorf("parseStat = %+v, %v", got, err)
	}
	for _, bad := range []string{"", "1 bash S 1", "1 (bash) S 1 2", "x (bash) S 1 4711 4711 0 -1 4194304 1 0 0 0 3 4 0 0 20 0 1 0 9 1 2"} {
		if p, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q) = %+v", bad, p)
		}
	}
}

func TestParsePSS(t *testing.T) {
	text := "555a4e53e000-7ffd57a3c000 ---p 00000000 00:00 0  [rollup]\nRss:  1644 kB\nPss:   389 kB\nPss_Dirty:   112 kB\n"
	if got, err := parsePSS(text); err != nil || got != 389<<10 {
		t.Errorf("parsePSS = %d, %v", got, err)
	}
	if _, err := parsePSS("Rss: 1 kB\nPss_Dirty: 1 kB\n"); err == nil {
		t.Error("no Pss is no error")
	}
}

func TestParseBusy(t *testing.T) {
	got, err := parseBusy("cpu  100 20 3 9999 8888 4 5 6 50 60\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
	if want := 138 * 10 * time.Millisecond; err != nil || got != want {
		t.Errorf("parseBusy = %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2 3\n", "cpu a 2 3 4 5 6 7 8\n"} {
		if got, err := parseBusy(bad); err == nil {
			t.Errorf("parseBusy(%q) = %v", bad, got)
		}
	}
}

// The clock of a process counts what it computed, and stands still while it sleeps.
func TestProcessTime(t *testing.T) {
	before, err := processTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for x, began := 0.0, time.Now(); time.Since(began) < 50*time.Millisecond; {
		x++
	}
	after, err := processTime(os.Getpid())
	if used := after - before; err != nil || used <= 0 {
		t.Errorf("50 ms of work took %v of CPU time, %v", used, err)
	}
	if _, err := processTime(1 << 22); err == nil {
		t.Error("a process beyond the largest number (proc(5), pid_max) has a clock")
	}
}

func TestDescendants(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 60 & echo ready; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var family []process
	defer func() {
		for _, p := range family {
			if p.alive() {
				proc, _ := os.FindProcess(p.pid)
				proc.Kill()
			}
		}
		cmd.Wait()
	}()
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	family = descendants(cmd.Process.Pid)
	if len(family) != 2 || family[0].pid != cmd.Process.Pid || family[1].parent != cmd.Process.Pid {
		t.Fatalf("descendants of the shell %d: %+v", cmd.Process.Pid, family)
	}
	if mine := descendants(os.Getpid()); !slices.Contains(mine, family[1]) {
		t.Errorf("the shell's child %+v is not among %+v", family[1], mine)
	}
	held, err := holdingOf(family)
	if err != nil || held.pss <= 0 || held.descriptors < 6 || held.pipes < 1 {
		t.Errorf("holding = %+v, %v", held, err)
	}
}
