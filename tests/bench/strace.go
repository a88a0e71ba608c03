package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	tracedConnections = 1000
	tracedClients     = 16
	tracedIdle        = 500 * time.Millisecond
)

// syscalls counts the proxy's system calls per short connection: with one client, and with 16 at a time, which lets a
// proxy take several events from one epoll_wait. What the idle proxy calls in the same time is taken off.
func (c *cell) syscalls(ctx context.Context, into *cellResult) error {
	// The first connections are not like the others: buffers, threads and pipes are made.
	if err := c.connections(ctx, 1, 100); err != nil {
		return err
	}
	idle, idleTime, err := c.trace(ctx, "idle", func() error { return pause(ctx, tracedIdle) })
	if err != nil {
		return err
	}
	s := sample{}
	for _, part := range []struct {
		clients int
		metric  metric
		calls   *map[string]float64
	}{
		{1, callsPerConnection, &into.Calls},
		{tracedClients, callsUnderLoad, &into.Calls16},
	} {
		counted, took, err := c.trace(ctx, strconv.Itoa(part.clients), func() error {
			return c.connections(ctx, part.clients, tracedConnections)
		})
		if err != nil {
			return err
		}
		*part.calls = perConnection(counted, idle, took.Seconds()/idleTime.Seconds(), tracedConnections)
		for _, n := range *part.calls {
			s[part.metric.key] += n
		}
	}
	into.Samples = append(into.Samples, s)
	return nil
}

// connections makes so many short connections and returns when the proxy had time to close them.
func (c *cell) connections(ctx context.Context, clients, n int) error {
	client, err := c.startClient(ctx, clients, n)
	if err != nil {
		return err
	}
	defer client.stop()
	var result clientResult
	if err := client.answer(ctx, &result); err != nil {
		return err
	}
	if result.Broken > 0 {
		return fmt.Errorf("a short connection failed: %s", result.Error)
	}
	return pause(ctx, 100*time.Millisecond)
}

// trace runs strace on all the proxy's processes for as long as do takes, and returns the count of each system call
// and the time.
func (c *cell) trace(ctx context.Context, name string, do func() error) (map[string]int, time.Duration, error) {
	out := filepath.Join(c.bench.dir, "strace-"+name)
	args := []string{"-f", "-c", "-o", out}
	for _, p := range c.proxy.processes {
		args = append(args, "-p", strconv.Itoa(p.pid))
	}
	tracer, err := startChild("strace", exec.Command("strace", args...), nil)
	if err != nil {
		return nil, 0, err
	}
	defer tracer.stop()
	for !c.traced() {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return nil, 0, fmt.Errorf("strace did not attach: %s: %w", tracer.stderr.String(), err)
		}
	}
	began := time.Now()
	if err := do(); err != nil {
		return nil, 0, err
	}
	took := time.Since(began)
	if err := tracer.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return nil, 0, err
	}
	select {
	case <-tracer.done:
	case <-ctx.Done():
		return nil, 0, fmt.Errorf("strace did not detach: %w", ctx.Err())
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return nil, 0, err
	}
	counts, err := parseStrace(string(text))
	return counts, took, err
}

// traced reports whether all threads of the proxy have a tracer (proc(5), TracerPid).
func (c *cell) traced() bool {
	for _, p := range c.proxy.processes {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid))
		if err != nil {
			return false
		}
		for _, t := range tasks {
			if by := valueOf(fmt.Sprintf("/proc/%d/task/%s/status", p.pid, t.Name()), "TracerPid", ":"); by == "0" {
				return false
			}
		}
	}
	return true
}

// parseStrace reads the table that strace -c writes: calls are in the fourth column, the name is in the last. Without
// any call there is no table.
func parseStrace(text string) (map[string]int, error) {
	counts := map[string]int{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 || f[len(f)-1] == "total" || strings.HasPrefix(f[0], "-") || f[0] == "%" {
			continue
		}
		n, err := strconv.Atoi(f[3])
		if err != nil {
			return nil, fmt.Errorf("strace: line %q: %w", line, err)
		}
		counts[f[len(f)-1]] += n
	}
	return counts, nil
}

// perConnection takes the idle proxy's calls, scaled to the time of the load, off those under load.
func perConnection(load, idle map[string]int, scale float64, connections int) map[string]float64 {
	per := map[string]float64{}
	for name := range maps.Keys(load) {
		n := (float64(load[name]) - float64(idle[name])*scale) / float64(connections)
		if n >= 0.01 {
			per[name] = n
		}
	}
	return per
}

// callList prints counts by name, the largest first.
func callList(calls map[string]float64) string {
	names := slices.SortedFunc(maps.Keys(calls), func(a, b string) int {
		return cmp.Or(cmp.Compare(calls[b], calls[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%s %.2f", n, calls[n]))
	}
	return strings.Join(parts, ", ")
}
