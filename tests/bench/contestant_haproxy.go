package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// haproxy is HAProxy set up for plain TCP: one thread a CPU, no logs. The environment variable HAPROXY names another
// binary than Debian's.
//
// For bulk it is told to splice always, through pipes of 1 MiB: left to itself (splice-auto) it reads and writes, at
// twice to four times the CPU time. For small messages it is left to itself, because to splice them always costs it more.
func haproxy() (contestant, error) {
	binary := os.Getenv("HAPROXY")
	if binary == "" {
		binary = "haproxy"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return contestant{}, err
	}
	version, err := firstLine(path, "-v")
	if err != nil {
		return contestant{}, err
	}
	version, _, _ = strings.Cut(version, " - ")
	return contestant{name: "haproxy", role: rolePeer, version: version, command: func(s site) (*exec.Cmd, error) {
		file, err := s.write("haproxy.cfg", haproxyConfig(s))
		if err != nil {
			return nil, err
		}
		return exec.Command(path, "-db", "-f", file), nil
	}}, nil
}

func haproxyConfig(s site) string {
	tune, splice := "", "option splice-auto"
	if s.bulk {
		tune, splice = "tune.pipesize 1048576", "option splice-request\n    option splice-response"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `global
    nbthread %d
    maxconn %d
    maxpipes %d
    %s

defaults
    mode tcp
    balance roundrobin
    %s
    timeout connect 5s
    timeout client 1h
    timeout server 1h

listen bench
    bind %v backlog %d
    maxconn %d
`, threads(), s.capacity(), min(s.capacity(), 1024), tune, splice, s.listen, listenBacklog, s.capacity())
	for i, t := range s.targets {
		fmt.Fprintf(&b, "    server t%d %v\n", i, t)
	}
	return b.String()
}
