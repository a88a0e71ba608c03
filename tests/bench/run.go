package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is a run in progress.
type bench struct {
	options    options
	dir        string
	credential *syscall.Credential
	namespaces bool
	cells      int // begun so far
	again      int // how many cells may still be measured again
}

const (
	openTime = 10 * time.Second // for a client to open its sessions
	cellTime = 40 * time.Second // for a cell beyond its warm-up and its measured interval
)

// measureAll runs every selected row against every selected contestant, as often as the options say.
func measureAll(ctx context.Context, o options, args []string) (*results, error) {
	rows, err := selectRows(o.rows)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tcp-proxy-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	contestants, err := selectContestants(o, dir)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir, namespaces: freshNetwork() == nil}
	if b.credential, err = credentialOf(o.user); err != nil {
		return nil, err
	}

	command := strings.Join(append([]string{"go run ./tests/bench"}, args...), " ")
	if other := os.Getenv("HAPROXY"); other != "" {
		command = "HAPROXY=" + other + " " + command
	}
	r := &results{Began: time.Now().UTC().Truncate(time.Second), Repeats: o.repeats, Measure: o.measure.Seconds(), Others: o.others,
		Command: command, Machine: thisMachine()}
	r.Machine.Namespaces = b.namespaces
	if b.credential != nil {
		r.Machine.User = o.user
	}
	for _, c := range contestants {
		r.Contestants = append(r.Contestants, contestantTag{Name: c.name, Role: c.role, Version: c.version})
	}
	for _, row := range rows {
		result := rowResult{Row: row.name, Title: row.title}
		for _, c := range contestants {
			if row.takes(c) {
				result.Cells = append(result.Cells, cellResult{Contestant: c.name})
			}
		}
		r.Rows = append(r.Rows, result)
	}
	b.again = o.repeats * len(rows) * len(contestants) / 6
	if o.quick {
		b.again = 0
	}
	for repeat := range o.repeats {
		for i, row := range rows {
			if row.kind == kindSyscalls && repeat > 0 {
				continue // a count, not a time: once is enough
			}
			fmt.Fprintf(os.Stderr, "%5.0fs  repeat %d of %d  %s\n", time.Since(r.Began).Seconds(), repeat+1, o.repeats, row.name)
			for n := range contestants {
				c := contestants[(n+repeat)%len(contestants)]
				cell := r.Rows[i].cell(c.name)
				if cell == nil || cell.Failed >= 2 && len(cell.Samples) == 0 {
					continue
				}
				err := b.sample(ctx, row, c, cell)
				if ctx.Err() != nil {
					return nil, errors.New("interrupted")
				}
				if err != nil {
					cell.Failed++
					cell.Failure = cmp.Or(cell.Failure, strings.ReplaceAll(err.Error(), dir+"/", ""))
					fmt.Fprintf(os.Stderr, "        %s: %v\n", c.name, err)
				}
			}
		}
	}
	r.Took = time.Since(r.Began).Seconds()
	return r, nil
}

// attempts is the maximum number of measurements of a cell for one sample.
const attempts = 3

// sample adds one sample to a cell. If others used more of the CPUs meanwhile than the options allow, the cell is
// measured again, as long as there is time for that, and the attempt with the least of it counts.
func (b *bench) sample(ctx context.Context, r row, c contestant, into *cellResult) error {
	before := len(into.Samples)
	for attempt := 1; ; attempt++ {
		if err := b.measure(ctx, r, c, into); err != nil {
			into.Samples = into.Samples[:before]
			return err
		}
		last := into.Samples[len(into.Samples)-1]
		if last[otherCPU.key] <= b.options.others || attempt == attempts || b.again == 0 {
			break
		}
		b.again--
	}
	quietest := slices.MinFunc(into.Samples[before:], func(x, y sample) int { return cmp.Compare(x[otherCPU.key], y[otherCPU.key]) })
	into.Samples = append(into.Samples[:before], quietest)
	return nil
}

// measure adds one sample to a cell. What it starts is gone when it returns.
func (b *bench) measure(ctx context.Context, r row, c contestant, into *cellResult) error {
	ctx, cancel := context.WithTimeout(ctx, cellTime+b.options.warmup+b.options.measure)
	defer cancel()
	g, err := b.ground(r)
	if err != nil {
		return err
	}
	defer os.RemoveAll(g.dir)
	target, err := startTarget(ctx, targetOrder{Serve: r.serve, Size: r.size, Listen: g.targets})
	if err != nil {
		return err
	}
	defer target.stop()
	p, err := startProxy(ctx, c, g.site, b.credential)
	if err != nil {
		return err
	}
	defer p.stop()
	cell := &cell{bench: b, row: r, ground: g, target: target, proxy: p, direct: c.role == roleDirect}
	switch r.kind {
	case kindIdle:
		return cell.idle(ctx, into)
	case kindSyscalls:
		return cell.syscalls(ctx, into)
	}
	return cell.load(ctx, into)
}

// ground is the environment of a cell: its addresses, which no earlier cell has used, and its directory.
type ground struct {
	site
	sources []netip.Addr
}

const (
	proxyPort  = 7000
	targetPort = 7001
)

// ground prepares a place. The proxy listens on 127.x.y.1, there are four targets from 127.x.y.2 on, and the client's
// sources follow: one pair of addresses has 28,000 ports, and a closed connection holds one for a second or more.
func (b *bench) ground(r row) (ground, error) {
	b.cells++
	if b.namespaces {
		if err := freshNetwork(); err != nil {
			return ground{}, err
		}
	}
	x, y := 64+(os.Getpid()+b.cells/250)%128, b.cells%250
	address := func(z int) netip.Addr { return netip.AddrFrom4([4]byte{127, byte(x), byte(y), byte(z)}) }
	g := ground{site: site{listen: netip.AddrPortFrom(address(1), proxyPort), sessions: r.sessions,
		bulk: r.kind == kindBulk && !b.options.stock,
		dir:  filepath.Join(b.dir, fmt.Sprintf("cell-%d", b.cells))}}
	for z := 2; z < 6; z++ {
		g.targets = append(g.targets, netip.AddrPortFrom(address(z), targetPort))
	}
	if r.load == loadConnect {
		for z := 10; z < 26; z++ {
			g.sources = append(g.sources, address(z))
		}
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return ground{}, err
	}
	if b.credential != nil {
		if err := os.Chown(g.dir, int(b.credential.Uid), int(b.credential.Gid)); err != nil {
			return ground{}, err
		}
	}
	return g, nil
}

// startTarget returns when the target server listens. The caller stops it.
func startTarget(ctx context.Context, order targetOrder) (*child, error) {
	c, err := startPart(partTarget, order)
	if err != nil {
		return nil, err
	}
	if _, err := c.line(ctx); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// pause waits, or returns the reason why the context ended.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
