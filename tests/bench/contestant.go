package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// contestant is a proxy that is compared.
type contestant struct {
	name    string
	role    role
	version string
	// command prepares the process that serves a site, its configuration in site.dir. nil: no proxy at all.
	command func(site site) (*exec.Cmd, error)
	// workers is how many child processes must be there before it serves.
	workers int
}

type role string

const (
	roleOurs   role = "ours"
	rolePeer   role = "peer"   // the ratios are to the best of these
	roleDirect role = "direct" // no proxy
)

// site is what a contestant has to serve in one cell.
type site struct {
	listen   netip.AddrPort
	targets  []netip.AddrPort
	sessions int    // at one time
	bulk     bool   // few sessions that move much: peers that have a setting for that get it
	dir      string // its own; it may write there
}

// capacity is the number of sessions to configure, with some room for those that are just closing.
func (s site) capacity() int { return s.sessions + s.sessions/20 + 128 }

// write writes a configuration file into the directory of the site and returns its path.
func (s site) write(name, text string) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// proxy is a contestant that runs. The zero value is "no proxy": no processes.
type proxy struct {
	child     *child
	processes []process
}

// startProxy starts a contestant and returns when it listens and its workers are there. The caller stops it.
func startProxy(ctx context.Context, c contestant, s site, credential *syscall.Credential) (proxy, error) {
	if c.command == nil {
		return proxy{}, nil
	}
	cmd, err := c.command(s)
	if err != nil {
		return proxy{}, fmt.Errorf("configure %s: %w", c.name, err)
	}
	ch, err := startChild(c.name, cmd, credential)
	if err != nil {
		return proxy{}, err
	}
	for {
		p := proxy{child: ch, processes: descendants(ch.pid())}
		switch {
		case len(p.processes) > c.workers && listens(s.listen):
			return p, nil
		case ctx.Err() != nil:
			p.stop()
			return proxy{}, fmt.Errorf("%s does not listen: %s: %w", c.name, ch.stderr.String(), ctx.Err())
		}
		select {
		case <-ch.done:
			return proxy{}, ch.errEnded()
		case <-time.After(3 * time.Millisecond):
		}
	}
}

func (p proxy) stop() {
	if p.child != nil {
		p.child.stop(p.processes...)
	}
}

// listens reports whether some socket of this thread's network namespace listens there.
func listens(addr netip.AddrPort) bool {
	b, err := os.ReadFile("/proc/thread-self/net/tcp")
	if err != nil {
		return false
	}
	a := addr.Addr().As4()
	want := fmt.Sprintf("%02X%02X%02X%02X:%04X", a[3], a[2], a[1], a[0], addr.Port())
	const stateListen = "0A"
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[1] == want && f[3] == stateListen {
			return true
		}
	}
	return false
}

// peers returns those that tcp-proxy is compared with. All of them must be installed.
func peers() ([]contestant, error) {
	makers := []func() (contestant, error){haproxy, nginx, socketProxyd}
	var found []contestant
	var missing []string
	for _, m := range makers {
		c, err := m()
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		found = append(found, c)
	}
	if missing != nil {
		return nil, fmt.Errorf("%s\non Debian: apt-get install haproxy nginx libnginx-mod-stream systemd strace",
			strings.Join(missing, "\n"))
	}
	return found, nil
}

func direct() contestant {
	return contestant{name: "direct", role: roleDirect}
}

// selectContestants returns those that were named, or all, ours first and direct last.
func selectContestants(o options, dir string) ([]contestant, error) {
	wanted := func(name string) bool { return o.contestants == nil || slices.Contains(o.contestants, name) }
	var all []contestant
	others, err := peers()
	if err != nil {
		return nil, err
	}
	isOther := func(name string) bool {
		return name == "direct" || slices.ContainsFunc(others, func(c contestant) bool { return c.name == name })
	}
	if o.contestants == nil || slices.ContainsFunc(o.contestants, func(n string) bool { return !isOther(n) }) {
		if all, err = engines(o, dir); err != nil {
			return nil, err
		}
	}
	all = append(append(all, others...), direct())
	for _, name := range o.contestants {
		if !slices.ContainsFunc(all, func(c contestant) bool { return c.name == name }) {
			return nil, fmt.Errorf("no contestant %q", name)
		}
	}
	return slices.DeleteFunc(all, func(c contestant) bool { return !wanted(c.name) }), nil
}

// threads is how many threads or workers every contestant gets that has such a setting: one for each CPU.
func threads() int { return runtime.NumCPU() }

// firstLine runs a command and returns the first line of its output, on either stream.
func firstLine(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line, nil
}
