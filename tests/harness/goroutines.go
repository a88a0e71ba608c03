package harness

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// checkGoroutines ends the process with SIGQUIT, on which a Go program writes the stacks of all goroutines. There must be
// no more of any kind than in an idle proxy with the same configuration.
func (p *Proxy) checkGoroutines() {
	p.t.Helper()
	p.Settle()
	after := p.dump()
	idle := p.rig.idleGoroutines(p)
	for _, kind := range slices.Sorted(maps.Keys(after)) {
		if left := len(after[kind]) - len(idle[kind]); left > 0 {
			p.t.Errorf("%d goroutines more than in an idle proxy started by %s; one of them:\n%s", left, kind, after[kind][0])
		}
	}
}

// Stacks ends the process and returns the stacks of its goroutines, one of each kind with its count: for tests that failed
// because something hangs.
func (p *Proxy) Stacks() string {
	p.t.Helper()
	var text strings.Builder
	all := p.dump()
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		stacks := slices.Compact(slices.Sorted(slices.Values(all[kind])))
		fmt.Fprintf(&text, "%d started by %s:\n%s\n\n", len(all[kind]), kind, strings.Join(stacks[:min(len(stacks), 4)], "\n\n"))
	}
	return text.String()
}

// goroutines are stacks by kind: the function that started the goroutine.
type goroutines map[string][]string

// dump ends the process.
func (p *Proxy) dump() goroutines {
	p.t.Helper()
	p.Signal(syscall.SIGQUIT)
	p.Wait()
	return parseDump(p.Log.Text())
}

var idle struct {
	sync.Mutex
	byConfig map[string]goroutines
}

// idleGoroutines returns the goroutines of an idle proxy with the configuration of p, which has ended.
func (r *Rig) idleGoroutines(p *Proxy) goroutines {
	r.T.Helper()
	text, err := p.config.encode()
	if err != nil {
		r.T.Fatal(err)
	}
	key := fmt.Sprint(r.Engine, p.arguments, strings.ReplaceAll(string(text), r.Host, "HOST"))
	idle.Lock()
	defer idle.Unlock()
	if found, ok := idle.byConfig[key]; ok {
		return found
	}
	twin := r.launch(p.config, p.arguments)
	twin.awaitReady()
	twin.Settle()
	if idle.byConfig == nil {
		idle.byConfig = make(map[string]goroutines)
	}
	idle.byConfig[key] = twin.dump()
	return idle.byConfig[key]
}

// parseDump parses the output of a Go program on SIGQUIT, without the goroutines of the runtime.
func parseDump(text string) goroutines {
	found := make(goroutines)
	for stack := range strings.SplitSeq(text, "\n\n") {
		begin := strings.Index(stack, "goroutine ")
		if begin < 0 || begin > 0 && stack[begin-1] != '\n' {
			continue
		}
		stack = stack[begin:]
		if header, _, _ := strings.Cut(stack, "\n"); !strings.HasSuffix(header, "]:") || strings.HasPrefix(header, "goroutine 0 ") {
			continue // goroutine 0 is a thread's own stack
		}
		kind := kindOf(stack)
		if strings.HasPrefix(kind, "runtime.") {
			continue
		}
		found[kind] = append(found[kind], stack)
	}
	return found
}

// kindOf returns the function that started a goroutine, or its own outermost function if there is none, as for a goroutine
// that is running at the moment. Functions begin in the first column, file names are indented, and "created by" is last.
func kindOf(stack string) string {
	first := "unknown"
	for line := range strings.Lines(stack) {
		if started, ok := strings.CutPrefix(line, "created by "); ok {
			started, _, _ = strings.Cut(started, " in goroutine")
			return strings.TrimSpace(started)
		}
		paren := strings.LastIndexByte(line, '(')
		if paren > 0 && line[0] != '\t' && !strings.HasPrefix(line, "goroutine ") && !strings.HasPrefix(line, "runtime.goexit") {
			first = line[:paren]
		}
	}
	return first
}
