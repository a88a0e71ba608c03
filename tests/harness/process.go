package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ticks is how many clock ticks of /proc make a second: sysconf(_SC_CLK_TCK), always 100 on Linux.
const ticks = 100

// PID returns the number of the process.
func (p *Proxy) PID() int { return p.command.Process.Pid }

// CPU returns the processor time that the process has used.
func (p *Proxy) CPU() time.Duration {
	p.t.Helper()
	return CPU(p.t, p.PID())
}

// CPU returns the processor time that a process has used.
func CPU(t testing.TB, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// Fields 14 and 15, counted from the state, field 3, that follows the name in brackets: proc_pid_stat(5).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.Atoi(fields[14-3])
	system, err2 := strconv.Atoi(fields[15-3])
	if err1 != nil || err2 != nil {
		t.Fatalf("process %d: %s", pid, stat)
	}
	return time.Duration(user+system) * time.Second / ticks
}

// LeaveDescriptors limits the descriptors of the running process so that it can open exactly n more (prlimit(2)). The
// returned function restores the limit.
func (p *Proxy) LeaveDescriptors(n int) (restore func()) {
	p.t.Helper()
	var before unix.Rlimit
	if err := unix.Prlimit(p.command.Process.Pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		p.t.Fatalf("prlimit: %v", err)
	}
	limit := 0 // a new descriptor has the lowest free number, which has to be below the limit
	for free := 0; ; limit++ {
		if _, err := os.Lstat(p.proc("fd/" + strconv.Itoa(limit))); os.IsNotExist(err) {
			if free == n {
				break
			}
			free++
		}
	}
	p.setLimit(unix.Rlimit{Cur: uint64(limit), Max: before.Max})
	return func() {
		p.t.Helper()
		p.setLimit(before)
	}
}

func (p *Proxy) setLimit(limit unix.Rlimit) {
	p.t.Helper()
	if err := unix.Prlimit(p.command.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		p.t.Fatalf("prlimit: %v", err)
	}
}

// Settle waits until no thread of the process has run for a while, so that it is idle. It gives up on a process that runs
// on a timer.
func (p *Proxy) Settle() {
	last, quiet := "", 0
	for range 200 {
		now := p.switches()
		if now == last {
			quiet++
		} else {
			last, quiet = now, 0
		}
		if quiet == 3 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// switches returns the context switches of all threads (proc_pid_status(5)).
func (p *Proxy) switches() string {
	var all strings.Builder
	files, _ := filepath.Glob(p.proc("task/*/status")) // the pattern is well formed
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(status)) {
			if strings.Contains(line, "ctxt_switches") || strings.HasPrefix(line, "State:\tR") {
				fmt.Fprintf(&all, "%s %s", file, line)
			}
		}
	}
	return all.String()
}

func (p *Proxy) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.command.Process.Pid, name)
}
