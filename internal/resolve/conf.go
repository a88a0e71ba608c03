package resolve

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// conf is the part of resolv.conf(5) that the client uses.
type conf struct {
	servers  []netip.AddrPort // at least one, in the order of the file
	search   []string         // search domains, each with a dot at its end
	ndots    int              // names with at least this many dots are tried as they are before the search domains
	timeout  time.Duration    // for the answer to one question by one server
	attempts int              // how often each server is asked
	rotate   bool             // start with another server for each question
	useTCP   bool             // ask over TCP only
}

// Defaults and limits of resolv.conf(5).
const (
	dnsPort         = 53
	maxServers      = 3
	maxSearch       = 32 // glibc has had no limit since 2.26; each domain costs a question
	maxNdots        = 15
	maxAttempts     = 5
	defaultTimeout  = 5 * time.Second
	maxTimeout      = 30 * time.Second
	defaultNdots    = 1
	defaultAttempts = 2
)

// parseConf parses a resolv.conf(5). It ignores unknown lines, as the C library does. Without a nameserver line, the server
// is on this machine; without a search or domain line, the search domain is that of the machine's own name.
func parseConf(text string) conf {
	c := conf{ndots: defaultNdots, timeout: defaultTimeout, attempts: defaultAttempts}
	searched := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || line[0] == '#' || line[0] == ';' {
			continue
		}
		switch arguments := fields[1:]; fields[0] {
		case "nameserver":
			if ip, err := netip.ParseAddr(arguments[0]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, netip.AddrPortFrom(ip.Unmap(), dnsPort))
			}
		case "domain": // the last "domain" or "search" line counts
			c.search, searched = searchDomains(arguments[:1]), true
		case "search":
			c.search, searched = searchDomains(arguments), true
		case "options":
			for _, option := range arguments {
				c.setOption(option)
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort), netip.AddrPortFrom(netip.IPv6Loopback(), dnsPort),
		}
	}
	if !searched {
		c.search = localDomain()
	}
	return c
}

func searchDomains(names []string) []string {
	var found []string
	for _, name := range names {
		if name[0] == '#' || name[0] == ';' || len(found) == maxSearch {
			break
		}
		if name = normalize(name); name != "" { // "." is the root, not a domain
			found = append(found, name+".")
		}
	}
	return found
}

func localDomain() []string {
	host, err := os.Hostname()
	if err != nil {
		return nil
	}
	_, domain, _ := strings.Cut(host, ".")
	return searchDomains(strings.Fields(domain))
}

func (c *conf) setOption(option string) {
	name, value, _ := strings.Cut(option, ":")
	n, err := strconv.Atoi(value)
	switch {
	case name == "rotate":
		c.rotate = true
	case name == "use-vc" || name == "usevc" || name == "tcp":
		c.useTCP = true
	case err != nil:
	case name == "ndots":
		c.ndots = min(max(n, 0), maxNdots)
	case name == "attempts":
		c.attempts = min(max(n, 1), maxAttempts)
	case name == "timeout":
		c.timeout = min(max(time.Duration(n), 1), maxTimeout/time.Second) * time.Second
	}
}

// maxName is the maximum length of a DNS name, including the dot at its end (RFC 1035, section 2.3.4).
const maxName = 254

// candidates returns the names to try for name, each with a dot at its end, in order. Names below "onion" are never looked
// up (RFC 7686).
func (c *conf) candidates(name string) []string {
	rooted := strings.HasSuffix(name, ".")
	name = normalize(name) + "."
	found := []string{name}
	if !rooted {
		searched := make([]string, len(c.search))
		for i, domain := range c.search {
			searched[i] = name + domain
		}
		if strings.Count(name, ".")-1 >= c.ndots {
			found = append(found, searched...)
		} else {
			found = append(searched, name)
		}
	}
	return slices.DeleteFunc(found, func(n string) bool { return len(n) > maxName || strings.HasSuffix("."+n, ".onion.") })
}
