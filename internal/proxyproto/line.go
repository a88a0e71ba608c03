package proxyproto

import (
	"net/netip"
	"strconv"
	"strings"
)

const (
	keyword = "PROXY"
	maxLine = 107 // bytes, with CR and LF
)

// A form is one way to write the line of version 1: its fields, between which stands exactly one space.
type form []field

// A field says how many bytes complete what has come of it, at least; false is that nothing can.
type field func(begun string) (more int, ok bool)

var forms = []form{
	{word(keyword), word("TCP4"), value(isIPv4), value(isIPv4), value(isPort), value(isPort)},
	{word(keyword), word("TCP6"), value(isIPv6), value(isIPv6), value(isPort), value(isPort)},
	{word(keyword), word("UNKNOWN")},
	{word(keyword), word("UNKNOWN"), anything},
}

// toGo returns how many bytes complete a line of which this much has come, at least. False is that nothing can.
func toGo(line string) (more int, ok bool) {
	for _, f := range forms {
		if more, ok = f.toGo(line); ok && len(line)+more <= maxLine {
			return more, true
		}
	}
	return 0, false
}

func (f form) toGo(line string) (more int, ok bool) {
	line, ended := strings.CutSuffix(line, "\n")
	line, closed := strings.CutSuffix(line, "\r")
	if ended && !closed {
		return 0, false
	}
	come := strings.SplitN(line, " ", len(f))
	for i, field := range f {
		begun := ""
		if i < len(come) {
			begun = come[i]
		} else {
			more++ // the space before it
		}
		n, ok := field(begun)
		if !ok || n > 0 && i < len(come)-1 {
			return 0, false
		}
		more += n
	}
	switch {
	case ended:
		return 0, more == 0
	case closed:
		return 1, more == 0
	}
	return more + len("\r\n"), true
}

func word(w string) field {
	return func(begun string) (int, bool) { return len(w) - len(begun), strings.HasPrefix(w, begun) }
}

// anything may follow UNKNOWN but the end of the line.
func anything(begun string) (int, bool) { return 0, !strings.ContainsAny(begun, "\r\n") }

// tails are ways to go on from the begin of an address or a port, the shortest first. If there is any, one of these is
// one, and as short as the shortest.
var tails = [...]string{"", "0", ":", "::", ".0", "0.0", ".0.0", "0.0.0", ".0.0.0", "0.0.0.0"}

func value(valid func(string) bool) field {
	return func(begun string) (int, bool) {
		for _, tail := range tails {
			if valid(begun + tail) {
				return len(tail), true
			}
		}
		return 0, false
	}
}

func isIPv4(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Is4()
}

func isIPv6(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Is6() && a.Zone() == ""
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil && (text == "0" || text[0] != '0')
}
