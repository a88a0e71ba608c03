package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// probe decodes an object over the defaults that apply. A target is asked one thing: what an app itself gives of
// "http", or of "send" and "expect", stands instead of the other in the defaults.
func (d *decoder) probe(n node, p *Probe) {
	if kindOf(n) == "false" {
		d.wrong(n, `must be an object, not false: {"when": "never"} is no probe at all`)
		return
	}
	given, _ := d.object(n, p)
	talks := has(given, "send") && p.Send != "" || has(given, "expect") && p.Expect != ""
	switch {
	case p.HTTP == (HTTPProbe{}) || p.Send == "" && p.Expect == "":
	case !has(given, "http"):
		p.HTTP = HTTPProbe{}
	case !talks:
		p.Send, p.Expect = "", ""
	default:
		d.wrong(n.member("http", member(n.Value, "http")), `says what is sent and expected: "send" and "expect" cannot stand beside it`)
	}
}

// bytes decodes a string that stands for any bytes; the rule says how many.
func (d *decoder) bytes(n node, into *string, r rule) {
	s, ok := d.string(n)
	if !ok {
		return
	}
	s, err := unescape(s)
	switch {
	case err != nil:
		d.wrong(n, "%v", err)
	case int64(len(s)) > r.high:
		d.wrong(n, "has %d bytes: the limit is %d", len(s), r.high)
	default:
		*into = s
	}
}

// unescape undoes the escapes that stand in a string beside those of JSON: \xNN is a byte, \\ a backslash.
func unescape(s string) (string, error) {
	var b strings.Builder
	for {
		before, escape, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(escape, `\`):
			b.WriteByte('\\')
			s = escape[1:]
		case byteEscape.MatchString(escape):
			value, _ := strconv.ParseUint(escape[1:3], 16, 8)
			b.WriteByte(byte(value))
			s = escape[3:]
		default:
			return "", fmt.Errorf(`has an invalid escape: in the file, "\\x00" to "\\xff" are bytes and "\\\\" is a backslash`)
		}
	}
}

var byteEscape = regexp.MustCompile(`^x[0-9A-Fa-f]{2}`)

// httpProbe decodes false, or an object over the defaults that apply.
func (d *decoder) httpProbe(n node, h *HTTPProbe) {
	switch kindOf(n) {
	case "false":
		*h = HTTPProbe{}
	case "an object":
		p := h.written()
		if *h == (HTTPProbe{}) {
			p = DefaultHTTPProbe().written()
		}
		d.object(n, &p)
		*h = HTTPProbe{string(p.Path), p.Status.low, p.Status.high}
	default:
		d.wrongType(n, "false or an object")
	}
}

// httpPath is the path of an HTTP probe.
type httpPath string

var httpPathForm = regexp.MustCompile(pathPattern)

const httpPathText = `"/" and what may follow it in a request line, 1000 bytes at most`

func (d *decoder) httpPath(n node, into *httpPath) {
	s, ok := d.string(n)
	switch {
	case !ok:
	case !strings.HasPrefix(s, "/"):
		d.wrong(n, `must begin with "/", not as %s does`, quote(s))
	case !httpPathForm.MatchString(s):
		d.wrong(n, "%s is not a path: it has at most 1000 bytes of ASCII, and a space, a control character, \"#\" or any "+
			"other character is written as %%20 is", quote(s))
	default:
		*into = httpPath(s)
	}
}

// statuses is a range of HTTP status codes.
type statuses struct {
	low, high int
}

func (s statuses) String() string {
	if s.low == s.high {
		return strconv.Itoa(s.low)
	}
	return fmt.Sprintf("%d-%d", s.low, s.high)
}

var statusForm = regexp.MustCompile(statusPattern)

const statusForms = `"200" or "200-399", of 100 to 599`

func (d *decoder) statuses(n node, into *statuses) {
	if kindOf(n) != "a string" {
		d.wrongType(n, `a string such as "200" or "200-399"`)
		return
	}
	s := text(n.Value)
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	switch {
	case !statusForm.MatchString(s):
		d.wrong(n, `must be a status or a range of 100 to 599, such as "200" or "200-399", not %s`, quote(s))
	case high < low:
		d.wrong(n, "a range must ascend, as in %q", high+"-"+low)
	default:
		into.low, _ = strconv.Atoi(low)
		into.high, _ = strconv.Atoi(high)
	}
}
