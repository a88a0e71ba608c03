package proxyproto

import (
	"net/netip"
	"strconv"
	"strings"
)

const (
	keyword = "PROXY"
	maxLine = 107 // bytes, with CR and LF (section 2.1)
)

// A form is a form that the line of version 1 may have: its fields, separated by exactly one space.
type form []field

// A field takes the received part of a field, and returns the least number of bytes that complete it; false if nothing can.
type field func(received string) (more int, ok bool)

var forms = []form{
	{word(keyword), word("TCP4"), value(isIPv4), value(isIPv4), value(isPort), value(isPort)},
	{word(keyword), word("TCP6"), value(isIPv6), value(isIPv6), value(isPort), value(isPort)},
	{word(keyword), word("UNKNOWN")},
	{word(keyword), word("UNKNOWN"), anything},
}

// missing returns the least number of bytes that complete the received part of a line; false if nothing can.
func missing(line string) (more int, ok bool) {
	for _, f := range forms {
		if more, ok = f.missing(line); ok && len(line)+more <= maxLine {
			return more, true
		}
	}
	return 0, false
}

// missing is the function of that name for one form.
func (f form) missing(line string) (more int, ok bool) {
	line, hasLF := strings.CutSuffix(line, "\n")
	line, hasCR := strings.CutSuffix(line, "\r")
	if hasLF && !hasCR {
		return 0, false
	}
	received := strings.SplitN(line, " ", len(f))
	for i, field := range f {
		part := ""
		if i < len(received) {
			part = received[i]
		} else {
			more++ // the space before it
		}
		n, ok := field(part)
		if !ok || n > 0 && i < len(received)-1 {
			return 0, false
		}
		more += n
	}
	switch {
	case hasLF:
		return 0, more == 0
	case hasCR:
		return 1, more == 0
	}
	return more + len("\r\n"), true
}

func word(w string) field {
	return func(received string) (int, bool) { return len(w) - len(received), strings.HasPrefix(w, received) }
}

// anything is the rest of a line after UNKNOWN, which the receiver ignores (section 2.1).
func anything(received string) (int, bool) { return 0, !strings.ContainsAny(received, "\r\n") }

// tails are continuations of the received part of an address or a port, the shortest first. If any continuation completes
// it, one of these does, with as few bytes as possible.
var tails = [...]string{"", "0", ":", "::", ".0", "0.0", ".0.0", "0.0.0", ".0.0.0", "0.0.0.0"}

func value(valid func(string) bool) field {
	return func(received string) (int, bool) {
		for _, tail := range tails {
			if valid(received + tail) {
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
