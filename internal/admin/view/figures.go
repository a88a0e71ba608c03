package view

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/sanitize"
)

// span writes how long something has lasted in six characters at most: 12s, 4m10s, 3h12m, 5d4h, 123d.
func span(d time.Duration) string {
	s := int64(max(0, d) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%dm", s/3600, s/60%60)
	case s < 100*24*3600:
		return fmt.Sprintf("%dd%dh", s/86400, s/3600%24)
	}
	return fmt.Sprintf("%dd", s/86400)
}

// seconds writes a short time: 850 µs, 1.2 ms, 3.4 s; nothing is a dash.
func seconds(s float64) string {
	switch {
	case s <= 0:
		return "-"
	case s < 0.9995e-3:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 0.09995:
		return fmt.Sprintf("%.1f ms", s*1e3)
	case s < 0.9995:
		return fmt.Sprintf("%.0f ms", s*1e3)
	}
	return fmt.Sprintf("%.1f s", s)
}

// rate writes how many there are in a second; one that is not known is a dash.
func rate(r float64) string {
	switch {
	case r < 0:
		return "-"
	case r == 0:
		return "0"
	case r < 9.95:
		return fmt.Sprintf("%.1f", r)
	case r < 99999.5:
		return fmt.Sprintf("%.0f", r)
	}
	return scaled(r, "")
}

// bytesRate writes bytes in a second.
func bytesRate(r float64) string {
	if r < 0 {
		return "-"
	}
	return scaled(r, "B/s")
}

// scaled writes a number with a prefix of the SI.
func scaled(r float64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T", "P"}
	i := 0
	for r >= 999.5 && i < len(prefixes)-1 {
		r /= 1000
		i++
	}
	unit = prefixes[i] + unit
	if i > 0 && r < 9.95 {
		return strings.TrimSpace(fmt.Sprintf("%.1f %s", r, unit))
	}
	return strings.TrimSpace(fmt.Sprintf("%.0f %s", r, unit))
}

// total writes a number in six characters at most.
func total(n uint64) string {
	if n < 1_000_000 {
		return strconv.FormatUint(n, 10)
	}
	return scaled(float64(n), "")
}

// count writes a number of things: 1 session, 2 sessions.
func count[N int | int64 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// socketsOf names a port whose sockets systemd has made, with their addresses; ports begins with the first of them. It returns
// how many there are.
func socketsOf(ports []proxy.Port) (label string, n int) {
	name, addresses := ports[0].Name, []string(nil)
	for _, p := range ports {
		if !p.Systemd || p.Name != name {
			break
		}
		addresses = append(addresses, p.Address)
	}
	switch at := strings.Join(addresses, ", "); {
	case strings.HasPrefix(name, "systemd:"):
		label = name + " (" + at + ")"
	case at == name:
		label = name + " (systemd)"
	default:
		label = name + " (systemd: " + at + ")"
	}
	return label, len(addresses)
}

// ranges names ports, those whose numbers follow each other as a configuration may: 5200-5210.
func ranges(ports []proxy.Port) []string {
	var names []string
	var base, ahead string // of the range that is under way: its first port, and what is before the number
	var next uint64
	for i := 0; i < len(ports); i++ {
		p := ports[i]
		if p.Systemd {
			label, n := socketsOf(ports[i:])
			names, next, i = append(names, label), 0, i+n-1
			continue
		}
		if i > 0 && p.Name == ports[i-1].Name {
			continue // another socket of the same port
		}
		colon := strings.LastIndexByte(p.Name, ':') + 1
		n, err := strconv.ParseUint(p.Name[colon:], 10, 16)
		if strings.HasPrefix(p.Name, "unix:") || strings.HasPrefix(p.Name, "systemd:") {
			err = strconv.ErrSyntax
		}
		switch {
		case err == nil && next != 0 && n == next && p.Name[:colon] == ahead:
			names[len(names)-1] = fmt.Sprintf("%s-%d", base, n)
		case err == nil:
			names = append(names, p.Name)
			base, ahead = p.Name, p.Name[:colon]
		default:
			names, n = append(names, p.Name), math.MaxUint64
		}
		next = n + 1
	}
	return names
}

// clean makes a text fit for a terminal.
func clean(s string) string { return sanitize.Text(s, mostText) }

// mostText is how long a text may be, in bytes: longer than the ports of any app.
const mostText = 1 << 20

func length(s string) int { return utf8.RuneCountInString(s) }

// cut takes out the middle of a text that is longer than width; width 0 is no limit.
func cut(s string, width int) string {
	if width <= 0 || length(s) <= width {
		return s
	}
	runes := []rune(s)
	head := (width - 1) / 2
	return string(runes[:head]) + "…" + string(runes[len(runes)-(width-1-head):])
}

// wrap breaks a text into lines of at most width, at spaces where it can; width 0 is no limit.
func wrap(s string, width int) []string {
	if width <= 0 || length(s) <= width {
		return []string{s}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		for length(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			runes := []rune(word)
			lines, word = append(lines, string(runes[:width])), string(runes[width:])
		}
		switch {
		case line == "":
			line = word
		case length(line)+1+length(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
