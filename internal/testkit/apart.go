package testkit

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// apart is set in the environment of a process that Apart has started.
const apart = "TCP_PROXY_TEST_APART"

// Apart runs a test in a process of its own, in parallel with others, so that the test may count what a process has: its
// descriptors, its processor time, its allocations. The process is this test binary again, with -test.run for this test
// alone; what precedes Apart in the test runs there once more. Its failures and skips are those of t.
//
// With -cover the test runs in this process and not in parallel, so that it is seen what it covers.
func Apart(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if !starts() {
		test(t)
		return
	}
	t.Parallel()
	timeout := 10 * time.Minute
	if deadline, ok := t.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	command := exec.Command(os.Args[0], "-test.run="+only(t.Name()), "-test.skip="+flag.Lookup("test.skip").Value.String(),
		"-test.v=true", "-test.count=1", "-test.timeout="+timeout.String())
	// A program with the race detector sleeps for a second at its end otherwise.
	command.Env = append(os.Environ(), apart+"=1", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	switch result := verdict(t.Name(), out.String()); {
	case err != nil:
		t.Fatalf("%v\n%s", err, &out)
	case result == "SKIP":
		t.Skip(out.String())
	case result != "PASS":
		t.Fatalf("the process did not run the test\n%s", &out)
	case testing.Verbose():
		t.Log(out.String())
	}
}

// Parallel is t.Parallel for a test whose subtests run apart: it has an effect in the process that starts theirs.
func Parallel(t *testing.T) {
	t.Helper()
	if starts() {
		t.Parallel()
	}
}

// starts reports whether Apart starts a process here.
func starts() bool { return os.Getenv(apart) == "" && testing.CoverMode() == "" }

// only is what has -test.run run one test: its name, level by level, and below it what this process was asked for.
func only(name string) string {
	levels := strings.Split(name, "/")
	asked := flag.Lookup("test.run").Value.String()
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	if below := strings.Split(asked, "/"); len(below) > len(levels) && !strings.Contains(asked, "|") {
		levels = append(levels, below[len(levels):]...)
	}
	return strings.Join(levels, "/")
}

// verdict is what a process says of a test: "PASS", "FAIL" or "SKIP"; "" if it says nothing of it.
func verdict(name, out string) string {
	found := regexp.MustCompile(fmt.Sprintf(`(?m)^ *--- (PASS|FAIL|SKIP): %s \(`, regexp.QuoteMeta(name))).FindStringSubmatch(out)
	if found == nil {
		return ""
	}
	return found[1]
}

// ParallelProcesses lets n tests run at a time, where -test.parallel does not say how many: those of Apart wait more than
// they work. TestMain calls it first.
func ParallelProcesses(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", fmt.Sprint(n)); err != nil {
			panic(err) // package testing has always had that flag
		}
	}
}
