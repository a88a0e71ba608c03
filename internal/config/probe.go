package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// probe decodes an object, on top of the defaults. A probe is either "http" or "send" and "expect": one of them in the app
// replaces the other one in the defaults.
func (d *decoder) probe(n node, p *Probe) {
	if kindOf(n) == "false" {
		d.report(n, `must be an object, not false: to send no probes, write {"when": "never"}`)
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
		d.report(n.member("http", member(n.Value, "http")), `replaces "send" and "expect": remove them, or remove "http"`)
	}
}

// bytes decodes a string of arbitrary bytes; the rule has the limits of their number.
func (d *decoder) bytes(n node, into *string, r rule) {
	s, ok := d.string(n)
	if !ok {
		return
	}
	s, err := unescape(s)
	switch {
	case err != nil:
		d.report(n, "%v", err)
	case int64(len(s)) > r.high:
		d.report(n, "has %d bytes: the limit is %d", len(s), r.high)
	default:
		*into = s
	}
}

// unescape decodes the escapes that a string may have in addition to those of JSON: \xNN is a byte, \\ a backslash.
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

// httpProbe decodes false or an object, on top of the defaults.
func (d *decoder) httpProbe(n node, h *HTTPProbe) {
	switch kindOf(n) {
	case "false":
		*h = HTTPProbe{}
	case "an object":
		p := h.document()
		if *h == (HTTPProbe{}) {
			p = DefaultHTTPProbe().document()
		}
		d.object(n, &p)
		*h = HTTPProbe{string(p.Path), p.Status.low, p.Status.high}
	default:
		d.reportType(n, "false or an object")
	}
}

// httpPath is the path of an HTTP probe.
type httpPath string

// httpPathForm takes milliseconds to compile: only those who need it do.
var httpPathForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pathPattern) })

const httpPathText = `"/" and what may follow it in a request line, 1000 bytes at most`

func (d *decoder) httpPath(n node, into *httpPath) {
	s, ok := d.string(n)
	switch {
	case !ok:
	case !strings.HasPrefix(s, "/"):
		d.report(n, `must begin with "/", not as %s does`, quote(s))
	case !httpPathForm().MatchString(s):
		d.report(n, "%s is not a path: it has at most 1000 bytes of ASCII, and a space, a control character, \"#\" or any "+
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
		d.reportType(n, `a string such as "200" or "200-399"`)
		return
	}
	s := text(n.Value)
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	switch {
	case !statusForm.MatchString(s):
		d.report(n, `must be a status or a range of 100 to 599, such as "200" or "200-399", not %s`, quote(s))
	case high < low:
		d.report(n, "a range must ascend, as in %q", high+"-"+low)
	default:
		into.low, _ = strconv.Atoi(low)
		into.high, _ = strconv.Atoi(high)
	}
}
