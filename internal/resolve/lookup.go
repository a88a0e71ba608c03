package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tcp-proxy/internal/upstream"
)

// answer is the result of a lookup: addresses or services.
type answer struct {
	addresses []netip.Addr // sorted, without duplicates
	services  []service    // sorted, without duplicates
	ttl       time.Duration
	missing   family // the family whose lookup failed, so that there may be more addresses; 0: none
}

func (a answer) empty() bool { return len(a.addresses)+len(a.services) == 0 }

// equal reports whether two answers have the same content, whatever their time to live.
func (a answer) equal(b answer) bool {
	return slices.Equal(a.addresses, b.addresses) && slices.Equal(a.services, b.services)
}

// endpoints returns the addresses with a port.
func (a answer) endpoints(port uint16) []upstream.Endpoint {
	found := make([]upstream.Endpoint, len(a.addresses))
	for i, ip := range a.addresses {
		found[i] = upstream.Endpoint{Addr: netip.AddrPortFrom(ip, port)}
	}
	return found
}

// completedBy returns the answer of a lookup that failed, or failed for one family, with what is missing in it taken from
// the answer before.
func (a answer) completedBy(before answer) answer {
	if a.empty() {
		return before
	}
	all := slices.Clone(a.addresses)
	for _, ip := range before.addresses {
		if familyOf(ip) == a.missing {
			all = append(all, ip)
		}
	}
	a.addresses = sortUnique(all)
	return a
}

// family is the family of an IP address; 0 is none.
type family int

const (
	ipv4 family = 4
	ipv6 family = 6
)

func (f family) String() string { return fmt.Sprintf("IPv%d", int(f)) }

func familyOf(ip netip.Addr) family {
	if ip.Is4() {
		return ipv4
	}
	return ipv6
}

// sortUnique sorts addresses and removes duplicates.
func sortUnique(addresses []netip.Addr) []netip.Addr {
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}

// client is a stub resolver: it looks up names in /etc/hosts and then at the servers of /etc/resolv.conf, as other programs
// on the machine do. It is safe for concurrent use.
type client struct {
	hosts  func() hostTable
	conf   func() conf
	health serverHealth
}

// systemClient returns the client that uses the files of this machine and notices their changes.
func systemClient() *client {
	hosts := &file[hostTable]{path: "/etc/hosts", parse: parseHosts}
	servers := &file[conf]{path: "/etc/resolv.conf", parse: parseConf}
	return &client{hosts: hosts.get, conf: servers.get}
}

var errNoSuchHost = errors.New("no such host")

// lookUp looks up a name. With an error it may return part of the answer: the addresses of one family if the lookup of the
// other failed, or the valid SRV records if others are invalid.
func (c *client) lookUp(ctx context.Context, q question) (answer, error) {
	if !q.srv {
		if ips := c.hosts().lookUp(q.name); len(ips) > 0 {
			return answer{addresses: ips, ttl: defaultTTL}, nil
		}
	}
	conf := c.conf()
	problem := fmt.Errorf("lookup %s: %w", normalize(q.name), errNoSuchHost)
	for _, name := range conf.candidates(q.name) {
		found, err := c.lookUpExactly(ctx, conf, name, q.srv)
		if err == nil || !found.empty() {
			return found, err
		}
		if errors.Is(problem, errNoSuchHost) && !errors.Is(err, errNoSuchHost) { // more informative than "no such host"
			problem = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return answer{}, problem
}

func (c *client) lookUpExactly(ctx context.Context, conf conf, name string, srv bool) (answer, error) {
	if srv {
		return c.lookUpServices(ctx, conf, name)
	}
	return c.lookUpAddresses(ctx, conf, name)
}

// lookUpAddresses asks for A and AAAA records concurrently.
func (c *client) lookUpAddresses(ctx context.Context, conf conf, name string) (answer, error) {
	var four, six reply
	var problem4, problem6 error
	var both sync.WaitGroup
	both.Go(func() { four, problem4 = c.ask(ctx, conf, name, dnsmessage.TypeA) })
	both.Go(func() { six, problem6 = c.ask(ctx, conf, name, dnsmessage.TypeAAAA) })
	both.Wait()
	found := answer{addresses: sortUnique(append(four.addresses, six.addresses...)), ttl: seconds(min(four.ttl, six.ttl))}
	if found.empty() {
		problem := problem4
		if errors.Is(problem, errNoSuchHost) { // the other one may be more informative
			problem = problem6
		}
		return answer{}, fmt.Errorf("lookup %s: %w", normalize(name), problem)
	}
	for _, half := range []struct {
		family
		problem error
	}{{ipv4, problem4}, {ipv6, problem6}} {
		if half.problem != nil && !errors.Is(half.problem, errNoSuchHost) {
			found.missing = half.family
			return found, fmt.Errorf("lookup %s: its %s addresses: %w", normalize(name), half.family, half.problem)
		}
	}
	return found, nil
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }

func (c *client) lookUpServices(ctx context.Context, conf conf, name string) (answer, error) {
	r, err := c.ask(ctx, conf, name, dnsmessage.TypeSRV)
	if err != nil {
		return answer{}, fmt.Errorf("lookup %s: %w", normalize(name), err)
	}
	if slices.ContainsFunc(r.services, func(s service) bool { return s.host == "." }) {
		return answer{}, fmt.Errorf("lookup %s: its SRV record says that there is no such service", normalize(name))
	}
	slices.SortFunc(r.services, compareServices)
	found := answer{services: slices.Compact(r.services), ttl: seconds(r.ttl)}
	if r.invalid > 0 {
		err = fmt.Errorf("lookup %s: %d of its SRV records have an invalid host, such as \"%s\"", normalize(name), r.invalid, r.invalidHost)
	}
	return found, err
}

func compareServices(a, b service) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), strings.Compare(a.host, b.host), cmp.Compare(a.port, b.port), cmp.Compare(a.weight, b.weight))
}

// ask asks one server after the other, conf.attempts times, until one answers. An error code of a server, such as SERVFAIL,
// counts as no answer. The error is errNoSuchHost if a server says that there are no records of that type.
func (c *client) ask(ctx context.Context, conf conf, name string, kind dnsmessage.Type) (reply, error) {
	var problem error
	for range conf.attempts {
		for _, server := range c.health.order(conf) {
			q, err := newQuery(name, kind)
			if err != nil {
				return reply{}, err
			}
			r, err := exchange(ctx, server, q, conf.useTCP, conf.timeout)
			c.health.record(server, err)
			if err == nil {
				err = r.problem()
			}
			if err == nil || errors.Is(err, errNoSuchHost) {
				return r, err
			}
			if problem == nil || ctx.Err() == nil { // keep the first error if ctx ended before the last server had its time
				problem = fmt.Errorf("server %v: %w", server, err)
			}
			if ctx.Err() != nil {
				return reply{}, problem
			}
		}
	}
	return reply{}, problem
}

// rcodeNames are the names of error codes (RFC 1035, section 4.1.1).
var rcodeNames = map[dnsmessage.RCode]string{
	dnsmessage.RCodeFormatError:    "FORMERR",
	dnsmessage.RCodeServerFailure:  "SERVFAIL",
	dnsmessage.RCodeNotImplemented: "NOTIMP",
	dnsmessage.RCodeRefused:        "REFUSED",
}

// problem returns why a reply does not answer the question; nil: it does.
func (r reply) problem() error {
	switch {
	case r.code == dnsmessage.RCodeNameError:
		return errNoSuchHost
	case r.code != dnsmessage.RCodeSuccess:
		name := rcodeNames[r.code]
		if name == "" {
			name = fmt.Sprintf("RCODE %d", r.code)
		}
		return fmt.Errorf("it cannot answer (%s)", name)
	case r.referral:
		return errors.New("it has no answer and does not ask other servers")
	case len(r.addresses)+len(r.services)+r.invalid == 0:
		return errNoSuchHost
	}
	return nil
}
