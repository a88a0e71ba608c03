package harness

import (
	"fmt"
	"slices"

	"tcp-proxy/internal/testkit"
)

// descriptors are the open descriptors of a process.
type descriptors struct {
	pipes  int      // ends of pipes
	others []string // what all other descriptors refer to, sorted
}

// Descriptors returns how many descriptors the process has open, and how many of those are pipes.
func (p *Proxy) Descriptors() (all, pipes int) {
	p.t.Helper()
	open := p.countDescriptors()
	return open.pipes + len(open.others), open.pipes
}

// DescriptorsAtReady returns how many the process had open when it was ready.
func (p *Proxy) DescriptorsAtReady() int { return p.atReady.pipes + len(p.atReady.others) }

func (p *Proxy) countDescriptors() descriptors {
	p.t.Helper()
	all, err := testkit.Descriptors(p.PID())
	if err != nil {
		p.t.Fatal(err)
	}
	var open descriptors
	for _, d := range all {
		if d.Is("pipe") {
			open.pipes++
		} else {
			open.others = append(open.others, d.Refers)
		}
	}
	slices.Sort(open.others)
	return open
}

// checkDescriptors checks that the descriptors of the process, apart from pipes, are those of a proxy that has just
// started. Go keeps the pipes of splice(2) in a pool until the second garbage collection, so tests with many sessions check
// pipes.
func (p *Proxy) checkDescriptors() {
	p.t.Helper()
	var now descriptors
	if !within(Timeout/4, func() bool {
		now = p.countDescriptors()
		return len(now.others) <= len(p.atReady.others)
	}) {
		p.t.Errorf("%d descriptors that are not pipes, %d when the proxy was ready\nnow:   %s\nready: %s",
			len(now.others), len(p.atReady.others), fmt.Sprint(now.others), fmt.Sprint(p.atReady.others))
	}
}
