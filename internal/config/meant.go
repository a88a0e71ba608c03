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

// What people write who know another format: what they meant, so that an error can say how it is written here.

// durationWords are units that time.ParseDuration does not know, or not by that name.
var durationWords = map[string]time.Duration{
	"": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"msec": time.Millisecond, "millis": time.Millisecond, "milliseconds": time.Millisecond, "ms": time.Millisecond,
	"s": time.Second, "m": time.Minute, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hrs": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
}

var durationWordForm = regexp.MustCompile(`^([0-9]{1,6}) ?([A-Za-z]*)$`)

// meantDuration gives the end of a sentence: how a duration that the rule allows is written, if s may be one; or "".
func meantDuration(s string, r rule) string {
	parts := durationWordForm.FindStringSubmatch(s)
	if parts == nil {
		return ""
	}
	n, err := strconv.Atoi(parts[1])
	d := time.Duration(n) * durationWords[strings.ToLower(parts[2])]
	if err != nil || d == 0 && n != 0 || !r.allows(int64(d)) {
		return ""
	}
	return fmt.Sprintf(": write %q", FormatDuration(d))
}

// schemePorts are the ports of URLs that give none.
var schemePorts = map[string]string{"http": "80", "ws": "80", "https": "443", "wss": "443", "postgres": "5432", "postgresql": "5432",
	"mysql": "3306", "redis": "6379", "ldap": "389", "amqp": "5672"}

// refuseURL gives an error if s is a URL, of which it repeats no password. The parser tells which address is a good one.
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

// refuseNoZone gives an error if ip is an address of a link and no zone says of which (RFC 4007): the example, in which the
// address has one, says how that is written.
func refuseNoZone(ip netip.Addr, example string) error {
	if !ip.Is6() || !ip.IsLinkLocalUnicast() || ip.Zone() != "" {
		return nil
	}
	return fmt.Errorf("%v is a link-local address (fe80::/10) and needs its network interface, as in %q", ip, example)
}

// exampleZone stands in examples of addresses.
const exampleZone = "eth0"

// meantAddress gives the end of a sentence: how the address of a target is written whose object has a host and a port; or "".
func meantAddress(n node) string {
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
	host := unbracketed(word("host", "hostname", "ip", "addr", "server"))
	if host == "" || len(host) > maxHost {
		return ""
	}
	address := net.JoinHostPort(host, word("port"))
	if _, err := parseAddress(address); err != nil {
		if _, err := parseAddress(host); err != nil { // it may have its port
			return ""
		}
		address = host
	}
	return fmt.Sprintf(`: write "address": %s`, quote(address))
}

// otherText says which other text a source is that is not UTF-8, by how it begins; or "".
func otherText(data []byte) string {
	switch {
	case len(data) < 2:
		return ""
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")),
		data[0] == 0 && data[1] != 0, data[0] != 0 && data[1] == 0:
		return "this is UTF-16: a configuration is UTF-8, save it as that"
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		return "this is compressed with gzip: a configuration is text"
	}
	return ""
}

// oddCharacter says what is wrong with a character that looks like one of JSON; or "".
func oddCharacter(r rune) string {
	switch {
	case strings.ContainsRune("“”„‟«»″＂‘’‚‛`´′", r):
		return fmt.Sprintf(`%c is not the quote of JSON: a string needs straight double quotes, "`, r)
	case r == '\u00a0' || r == '\u202f':
		return fmt.Sprintf("this is a no-break space (U+%04X): write an ordinary space", r)
	case unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Cf, r):
		return fmt.Sprintf("this is a character that cannot be seen (U+%04X): delete it, or write an ordinary space", r)
	case strings.ContainsRune("，：；", r):
		return fmt.Sprintf("%c is not a separator of JSON: those are ',' and ':'", r)
	}
	return ""
}

// atBegin reports whether nothing but space, comments, and lines that other formats have as comments, is before an offset.
func (s *source) atBegin(offset int) bool {
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

// isObject reports whether a text has an object after lines that begin with "#".
func isObject(text []byte) bool {
	for {
		text = bytes.TrimLeft(text, " \t\r\n")
		if len(text) == 0 || text[0] != '#' {
			return len(text) > 0 && text[0] == '{'
		}
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
}
