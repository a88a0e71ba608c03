package main

import (
	"fmt"
	"io"
	"strings"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
)

// mostNotes is the number of notes that are printed; further ones are counted.
const mostNotes = 10

// noteEphemeral prints a note for each element of "ports" that has ephemeral ports: the kernel may give them to outgoing
// connections (ip(7)), and the proxy then cannot listen there. It prints none if the range cannot be read.
func noteEphemeral(out io.Writer, cfg *config.Config) {
	ephemeral, err := linux.ReadEphemeral()
	if err != nil {
		return
	}
	printed := 0
	for i, app := range cfg.Apps {
		for first := 0; first < len(app.Ports); {
			path := cfg.PortPath(i, first)
			var ports []uint16
			for ; first < len(app.Ports) && cfg.PortPath(i, first) == path; first++ {
				if p := app.Ports[first]; p.Network == "tcp" && ephemeral.Has(p.Addr.Port()) {
					ports = append(ports, p.Addr.Port())
				}
			}
			if len(ports) == 0 {
				continue
			}
			if printed++; printed > mostNotes {
				continue
			}
			fmt.Fprintln(out, "note: "+cfg.Errorf(path, "outgoing connections may take %s, which is in net.ipv4.ip_local_port_range (%d to %d): "+
				"set net.ipv4.ip_local_reserved_ports=%[1]s, or use another port", numbers(ports), ephemeral.First, ephemeral.Last).Error())
		}
	}
	if printed > mostNotes {
		fmt.Fprintf(out, "note: and %d more\n", printed-mostNotes)
	}
}

// numbers formats ascending ports like the sysctl ip_local_reserved_ports: 40000,40002-40010.
func numbers(ports []uint16) string {
	var parts []string
	for i := 0; i < len(ports); {
		last := i
		for last+1 < len(ports) && ports[last+1] == ports[last]+1 {
			last++
		}
		if last == i {
			parts = append(parts, fmt.Sprint(ports[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", ports[i], ports[last]))
		}
		i = last + 1
	}
	return strings.Join(parts, ",")
}
