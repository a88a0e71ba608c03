package resolve

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// conf is whom to ask and how, as resolv.conf(5) says it.
type conf struct {
	servers  []netip.AddrPort // at least one, in the order in which they are asked
	search   []string         // domains that names are tried in, each with a dot at its end
	ndots    int              // so many dots make a name that is tried as it is before the domains are
	timeout  time.Duration    // how long a server has to answer a question
	attempts int              // how often every server is asked
	rotate   bool             // begin with another server each time
	stream   bool             // ask over TCP only
}

// What resolv.conf(5) has as defaults and as limits.
const (
	dnsPort       = 53
	maxServers    = 3
	maxSearch     = 32 // glibc has no limit since 2.26; each costs a question
	maxNdots      = 15
	maxAttempts   = 5
	defaultWait   = 5 * time.Second
	maxWait       = 30 * time.Second
	defaultNdots  = 1
	defaultAsking = 2
)

// parseConf reads a resolv.conf(5). What it does not know, it passes over, as the C library does. Where no servers are
// named they are those of this machine, and where no domains are, it is that of the host's own name.
func parseConf(text string) conf {
	c := conf{ndots: defaultNdots, timeout: defaultWait, attempts: defaultAsking}
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
		case "domain": // of "domain" and "search" the last one counts
			c.search, searched = domains(arguments[:1]), true
		case "search":
			c.search, searched = domains(arguments), true
		case "options":
			for _, option := range arguments {
				c.option(option)
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort), netip.AddrPortFrom(netip.IPv6Loopback(), dnsPort),
		}
	}
	if !searched {
		c.search = ownDomain()
	}
	return c
}

func domains(names []string) []string {
	var found []string
	for _, name := range names {
		if name[0] == '#' || name[0] == ';' || len(found) == maxSearch {
			break
		}
		if name = bare(name); name != "" { // "." is the root: no domain
			found = append(found, name+".")
		}
	}
	return found
}

func ownDomain() []string {
	host, err := os.Hostname()
	if err != nil {
		return nil
	}
	_, domain, _ := strings.Cut(host, ".")
	return domains(strings.Fields(domain))
}

func (c *conf) option(option string) {
	name, value, _ := strings.Cut(option, ":")
	n, err := strconv.Atoi(value)
	switch {
	case name == "rotate":
		c.rotate = true
	case name == "use-vc" || name == "usevc" || name == "tcp":
		c.stream = true
	case err != nil:
	case name == "ndots":
		c.ndots = min(max(n, 0), maxNdots)
	case name == "attempts":
		c.attempts = min(max(n, 1), maxAttempts)
	case name == "timeout":
		c.timeout = min(max(time.Duration(n), 1), maxWait/time.Second) * time.Second
	}
}

// maxName is the longest name that DNS has, with the dot at its end (RFC 1035, section 2.3.4).
const maxName = 254

// names gives what a name may mean, with dots at the end, in the order in which it is tried. Names below "onion" are
// never asked for (RFC 7686).
func (c *conf) names(name string) []string {
	rooted := strings.HasSuffix(name, ".")
	name = bare(name) + "."
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
