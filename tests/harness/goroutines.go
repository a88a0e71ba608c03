package harness

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// checkGoroutines ends the process with SIGQUIT, on which a Go program writes the stacks of all its goroutines, and
// wants no more of any kind than a proxy has that was started with the same configuration and has done nothing.
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

// Stacks ends the process and returns the stacks of its goroutines, one of each kind, with how many there are: for tests
// that have failed because something hangs.
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

// idleGoroutines returns the goroutines of a proxy that does nothing; p, with the same configuration, has ended.
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

// parseDump takes the stacks out of what a Go program writes on SIGQUIT. The goroutines of the runtime itself are left
// out.
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

// kindOf names the function that started a goroutine, or its own first one if nothing did. That is all that a dump says
// of one that runs just then. Functions stand at the begin of a line, their files are indented; "created by" comes last.
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
