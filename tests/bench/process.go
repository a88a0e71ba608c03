package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is one process as proc(5) tells of it. Its start time tells it from a later one of the same number.
type process struct {
	pid, parent int
	start       uint64 // clock ticks after boot
}

func readProcess(pid int) (process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	return parseStat(string(b))
}

// parseStat reads a line of /proc/PID/stat. The second field is the command in parentheses and may hold anything.
func parseStat(line string) (process, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("stat line %q has no command", line)
	}
	rest := strings.Fields(line[end+1:]) // from field 3, the state
	if len(rest) < 20 {
		return process{}, fmt.Errorf("stat line %q is short", line)
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(line[:open]))
	parent, err2 := strconv.Atoi(rest[1])
	start, err3 := strconv.ParseUint(rest[19], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return process{}, fmt.Errorf("stat line %q: %w", line, err)
	}
	return process{pid: pid, parent: parent, start: start}, nil
}

// alive reports whether this very process still exists (a zombie does).
func (p process) alive() bool {
	now, err := readProcess(p.pid)
	return err == nil && now.start == p.start
}

// descendants returns the process and all that it is an ancestor of. Those that end meanwhile are left out.
func descendants(root int) []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	byParent := map[int][]process{}
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p, err := readProcess(pid)
		if err != nil {
			continue
		}
		if pid == root {
			found = append(found, p)
		}
		byParent[p.parent] = append(byParent[p.parent], p)
	}
	for i := 0; i < len(found); i++ {
		found = append(found, byParent[found[i].pid]...)
	}
	return found
}

// processTime returns the CPU time, user and system, that all threads of a process have used, those that ended
// included, in nanoseconds: the clock that clock_getcpuclockid(3) names. /proc/PID/stat tells the same in ticks.
func processTime(pid int) (time.Duration, error) {
	const clockSched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|clockSched, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// processesTime is the sum over several processes.
func processesTime(ps []process) (time.Duration, error) {
	var sum time.Duration
	for _, p := range ps {
		t, err := processTime(p.pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// holding is what processes hold on to.
type holding struct {
	pss         int64 // bytes; proportional set size
	descriptors int
	pipes       int // descriptors that are ends of pipes
}

func holdingOf(ps []process) (holding, error) {
	var h holding
	for _, p := range ps {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
		if err != nil {
			return h, err
		}
		pss, err := parsePSS(string(b))
		if err != nil {
			return h, fmt.Errorf("process %d: %w", p.pid, err)
		}
		h.pss += pss
		dir := fmt.Sprintf("/proc/%d/fd", p.pid)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return h, err
		}
		for _, e := range entries {
			to, err := os.Readlink(filepath.Join(dir, e.Name()))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			h.descriptors++
			if strings.HasPrefix(to, "pipe:") {
				h.pipes++
			}
		}
	}
	return h, nil
}

// parsePSS finds the Pss line of a smaps_rollup file and returns it in bytes.
func parsePSS(text string) (int64, error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "Pss:" && f[2] == "kB" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no Pss in smaps_rollup")
}

// machineBusy returns the time that all CPUs were not idle since boot, whoever used them.
func machineBusy() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseBusy(string(b))
}

// parseBusy reads the first line of /proc/stat, in ticks of 10 ms: user, nice, system, idle, iowait, irq, softirq,
// steal. Guest time is part of user time.
func parseBusy(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var ticks int64
	for i, s := range f[1:9] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != 3 && i != 4 {
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
