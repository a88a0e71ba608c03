package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Usage is what the threads of a process have used so far. One that has ended does not count any more.
type Usage struct {
	CPU     time.Duration // on a processor (/proc/PID/task/TID/schedstat, Documentation/scheduler/sched-stats.rst)
	Wakeups int           // how often a thread has waited for something (voluntary_ctxt_switches of proc_pid_status(5))
}

func (u Usage) String() string {
	return fmt.Sprintf("%v of processor time and %d wake-ups", u.CPU, u.Wakeups)
}

// UsageOf returns what a process has used; 0 is this one.
func UsageOf(t testing.TB, pid int) (used Usage) {
	t.Helper()
	if pid == 0 {
		pid = os.Getpid()
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("process %d has no threads (%v)", pid, err)
	}
	for _, thread := range threads {
		stat, err1 := os.ReadFile(thread + "/schedstat")
		status, err2 := os.ReadFile(thread + "/status")
		if err1 != nil || err2 != nil {
			continue // it has ended
		}
		nanoseconds, _, _ := strings.Cut(string(stat), " ")
		_, switches, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
		switches, _, _ = strings.Cut(switches, "\n")
		ran, err1 := strconv.ParseInt(nanoseconds, 10, 64)
		waited, err2 := strconv.Atoi(strings.TrimSpace(switches))
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: %q, %q", thread, stat, status)
		}
		used.CPU += time.Duration(ran)
		used.Wakeups += waited
	}
	return used
}

// ExpectUsage fails the test if a process uses more than a budget while a time passes.
func ExpectUsage(t testing.TB, pid int, d time.Duration, budget Usage) {
	t.Helper()
	before := UsageOf(t, pid)
	time.Sleep(d)
	after := UsageOf(t, pid)
	used := Usage{after.CPU - before.CPU, after.Wakeups - before.Wakeups}
	t.Logf("%v in %v", used, d)
	if used.CPU > budget.CPU || used.Wakeups > budget.Wakeups {
		t.Errorf("%v in %v, more than %v", used, d, budget)
	}
}
