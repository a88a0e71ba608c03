package config

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tailscale/hujson"
)

// Hints for errors: what people write by the habits of another format, and how it is written here.

// durationUnits are units of time that time.ParseDuration does not know, or knows by another name.
var durationUnits = map[string]time.Duration{
	"": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"msec": time.Millisecond, "millis": time.Millisecond, "milliseconds": time.Millisecond, "ms": time.Millisecond,
	"s": time.Second, "m": time.Minute, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hrs": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
}

var durationWithUnit = regexp.MustCompile(`^([0-9]{1,6}) ?([A-Za-z]*)$`)

// durationHint returns the end of an error message with the correct form of a duration, or how it breaks the rule, if s looks
// like a duration; otherwise "".
func durationHint(s string, r rule) string {
	parts := durationWithUnit.FindStringSubmatch(s)
	if parts == nil {
		return ""
	}
	n, err := strconv.Atoi(parts[1])
	d := time.Duration(n) * durationUnits[strings.ToLower(parts[2])]
	switch {
	case err != nil || d == 0 && n != 0:
		return ""
	case int64(d) < r.low:
		return fmt.Sprintf(": %q is less than the %s that are allowed", FormatDuration(d), r.min)
	case int64(d) > r.high:
		return fmt.Sprintf(": %q is more than the %s that are allowed", FormatDuration(d), r.max)
	case !r.allows(int64(d)):
		return fmt.Sprintf(": %q is not %s", FormatDuration(d), r.rangeText())
	}
	return fmt.Sprintf(": write %q", FormatDuration(d))
}

// schemePorts are the default ports of URL schemes.
var schemePorts = map[string]string{"http": "80", "ws": "80", "https": "443", "wss": "443", "postgres": "5432", "postgresql": "5432",
	"mysql": "3306", "redis": "6379", "ldap": "389", "amqp": "5672"}

// refuseURL returns an error if s is a URL. The error does not repeat a password. parse checks whether an address is valid.
func refuseURL(s string, parse func(string) error) error {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || len(s) > 2*maxHost {
		return nil
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	address := rest[strings.LastIndexByte(rest, '@')+1:]
	if parse(address) != nil {
		address += ":" + schemePorts[strings.ToLower(scheme)]
	}
	if parse(address) != nil {
		return fmt.Errorf("an address has no scheme, such as %s", quote(scheme+"://"))
	}
	return fmt.Errorf("an address has no scheme, such as %s: write %s", quote(scheme+"://"), quote(address))
}

// requireZone returns an error if ip is a link-local address without a zone (RFC 4007); example is the address with one.
func requireZone(ip netip.Addr, example string) error {
	if !ip.Is6() || !ip.IsLinkLocalUnicast() || ip.Zone() != "" {
		return nil
	}
	return fmt.Errorf("%v is a link-local address (fe80::/10) and needs its network interface, as in %q", ip, example)
}

// exampleZone is the zone in examples of addresses.
const exampleZone = "eth0"

// addressHint returns the end of an error message with the correct form of an address, if a target is an object with a host
// and a port; otherwise "".
func addressHint(n node) string {
	word := func(keys ...string) string {
		for _, key := range keys {
			if v := member(n.Value, key); v != nil {
				switch kindOf(node{Value: v}) {
				case "a string":
					return text(v)
				case "a number":
					return string(v.Value.(hujson.Literal))
				}
			}
		}
		return ""
	}
	host := trimBrackets(word("host", "hostname", "ip", "addr", "server"))
	if host == "" || len(host) > maxHost {
		return ""
	}
	address := net.JoinHostPort(host, word("port"))
	if _, err := parseAddress(address); err != nil {
		if _, err := parseAddress(host); err != nil { // perhaps the host includes the port
			return ""
		}
		address = host
	}
	return fmt.Sprintf(`: write "address": %s`, quote(address))
}

// otherFormat returns an error text if data, which is not UTF-8, begins like another known format; otherwise "".
func otherFormat(data []byte) string {
	switch {
	case len(data) < 2:
		return ""
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")),
		data[0] == 0 && data[1] != 0, data[0] != 0 && data[1] == 0:
		return "this is UTF-16: a configuration is UTF-8: save the file as UTF-8"
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		return "this is compressed with gzip: a configuration is text"
	}
	return ""
}

// characterHint returns what is wrong with a character that looks like one of JSON; otherwise "".
func characterHint(r rune) string {
	switch {
	case strings.ContainsRune("“”„‟«»″＂‘’‚‛`´′", r):
		return fmt.Sprintf(`%c is not the quote of JSON: a string needs straight double quotes, "`, r)
	case r == '\u00a0' || r == '\u202f':
		return fmt.Sprintf("this is a no-break space (U+%04X): write an ordinary space", r)
	case unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Cf, r):
		return fmt.Sprintf("this is an invisible character (U+%04X): delete it, or write an ordinary space", r)
	case strings.ContainsRune("，：；", r):
		return fmt.Sprintf("%c is not a separator of JSON: those are ',' and ':'", r)
	}
	return ""
}

// atStart reports whether there is nothing before an offset but space, comments, and lines that are comments in other
// formats.
func (s *source) atStart(offset int) bool {
	rest := s.data[:offset]
	for {
		rest = bytes.TrimLeft(rest, " \t\r\n")
		switch {
		case len(rest) == 0:
			return true
		case rest[0] != '/' || commentEnd(rest) <= 0:
			return false
		}
		rest = rest[commentEnd(rest)+1:]
	}
}

// tableHeader matches a file of INI or TOML that begins with a table, after comments.
var tableHeader = regexp.MustCompile(`^(?:\s|#.*\n)*\[\[?[\w.-]+\]`)

// isObject reports whether a text is an object after any lines that begin with "#".
func isObject(text []byte) bool {
	for {
		text = bytes.TrimLeft(text, " \t\r\n")
		if len(text) == 0 || text[0] != '#' {
			return len(text) > 0 && text[0] == '{'
		}
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
}
