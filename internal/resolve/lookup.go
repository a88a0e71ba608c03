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

// answer is what a lookup gave: addresses, or services.
type answer struct {
	addresses []netip.Addr // sorted, each once
	services  []service    // sorted, each once
	ttl       time.Duration
	unheard   family // of which there may be addresses, for no server has said anything about it
}

func (a answer) none() bool { return len(a.addresses)+len(a.services) == 0 }

// same reports whether two answers stand for the same, whatever their time to live is.
func (a answer) same(b answer) bool {
	return slices.Equal(a.addresses, b.addresses) && slices.Equal(a.services, b.services)
}

// endpoints gives the addresses with a port.
func (a answer) endpoints(port uint16) []upstream.Endpoint {
	found := make([]upstream.Endpoint, len(a.addresses))
	for i, ip := range a.addresses {
		found[i] = upstream.Endpoint{Addr: netip.AddrPortFrom(ip, port)}
	}
	return found
}

// or completes what a lookup gave that failed, or failed by half, with what was known before.
func (a answer) or(before answer) answer {
	if a.none() {
		return before
	}
	all := slices.Clone(a.addresses)
	for _, ip := range before.addresses {
		if familyOf(ip) == a.unheard {
			all = append(all, ip)
		}
	}
	a.addresses = tidy(all)
	return a
}

// family is that of an IP address; 0 is none.
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

// tidy sorts addresses and leaves out what repeats.
func tidy(addresses []netip.Addr) []netip.Addr {
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}

// client looks names up as the machine's other programs do: in /etc/hosts, then by asking the servers of
// /etc/resolv.conf. It is safe for concurrent use.
type client struct {
	hosts  func() hostTable
	conf   func() conf
	health health
}

// system is the client that goes by the files of this machine, and follows their changes.
func system() *client {
	hosts := &file[hostTable]{path: "/etc/hosts", parse: parseHosts}
	servers := &file[conf]{path: "/etc/resolv.conf", parse: parseConf}
	return &client{hosts: hosts.get, conf: servers.get}
}

var errNoSuchHost = errors.New("no such host")

// lookUp looks a name up. Beside an error there may be a part of the answer: the addresses of one family, where no server
// said anything about the other; or records that are good beside others that are not.
func (c *client) lookUp(ctx context.Context, q question) (answer, error) {
	if !q.srv {
		if ips := c.hosts().lookUp(q.name); len(ips) > 0 {
			return answer{addresses: ips, ttl: defaultTTL}, nil
		}
	}
	conf := c.conf()
	problem := fmt.Errorf("lookup %s: %w", bare(q.name), errNoSuchHost)
	for _, name := range conf.names(q.name) {
		found, err := c.lookUpExactly(ctx, conf, name, q.srv)
		if err == nil || !found.none() {
			return found, err
		}
		if errors.Is(problem, errNoSuchHost) && !errors.Is(err, errNoSuchHost) { // it says more
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

// lookUpAddresses asks for both families at a time.
func (c *client) lookUpAddresses(ctx context.Context, conf conf, name string) (answer, error) {
	var four, six reply
	var problem4, problem6 error
	var both sync.WaitGroup
	both.Go(func() { four, problem4 = c.ask(ctx, conf, name, dnsmessage.TypeA) })
	both.Go(func() { six, problem6 = c.ask(ctx, conf, name, dnsmessage.TypeAAAA) })
	both.Wait()
	found := answer{addresses: tidy(append(four.addresses, six.addresses...)), ttl: seconds(min(four.ttl, six.ttl))}
	if found.none() {
		problem := problem4
		if errors.Is(problem, errNoSuchHost) { // the other may say more
			problem = problem6
		}
		return answer{}, fmt.Errorf("lookup %s: %w", bare(name), problem)
	}
	for _, half := range []struct {
		family
		problem error
	}{{ipv4, problem4}, {ipv6, problem6}} {
		if half.problem != nil && !errors.Is(half.problem, errNoSuchHost) {
			found.unheard = half.family
			return found, fmt.Errorf("lookup %s: its %s addresses: %w", bare(name), half.family, half.problem)
		}
	}
	return found, nil
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }

func (c *client) lookUpServices(ctx context.Context, conf conf, name string) (answer, error) {
	r, err := c.ask(ctx, conf, name, dnsmessage.TypeSRV)
	if err != nil {
		return answer{}, fmt.Errorf("lookup %s: %w", bare(name), err)
	}
	if slices.ContainsFunc(r.services, func(s service) bool { return s.host == "." }) {
		return answer{}, fmt.Errorf("lookup %s: its SRV record says that there is no such service", bare(name))
	}
	slices.SortFunc(r.services, compareServices)
	found := answer{services: slices.Compact(r.services), ttl: seconds(r.ttl)}
	if r.bad > 0 {
		err = fmt.Errorf("lookup %s: %d of its SRV records have no name of a host, such as \"%s\"", bare(name), r.bad, r.example)
	}
	return found, err
}

func compareServices(a, b service) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), strings.Compare(a.host, b.host), cmp.Compare(a.port, b.port), cmp.Compare(a.weight, b.weight))
}

// ask asks one server after the other, and all of them again, until one answers. A server that says that it cannot
// answer is one that does not. The error is errNoSuchHost if a server says that there is nothing of that type.
func (c *client) ask(ctx context.Context, conf conf, name string, kind dnsmessage.Type) (reply, error) {
	var problem error
	for range conf.attempts {
		for _, server := range c.health.order(conf) {
			q, err := newQuery(name, kind)
			if err != nil {
				return reply{}, err
			}
			r, err := exchange(ctx, server, q, conf.stream, conf.timeout)
			c.health.note(server, err)
			if err == nil {
				err = r.problem()
			}
			if err == nil || errors.Is(err, errNoSuchHost) {
				return r, err
			}
			if problem == nil || ctx.Err() == nil { // the last server may have had no time
				problem = fmt.Errorf("server %v: %w", server, err)
			}
			if ctx.Err() != nil {
				return reply{}, problem
			}
		}
	}
	return reply{}, problem
}

// codes are what servers say of answers that they do not give (RFC 1035, section 4.1.1).
var codes = map[dnsmessage.RCode]string{
	dnsmessage.RCodeFormatError:    "FORMERR",
	dnsmessage.RCodeServerFailure:  "SERVFAIL",
	dnsmessage.RCodeNotImplemented: "NOTIMP",
	dnsmessage.RCodeRefused:        "REFUSED",
}

// problem is why a reply is no answer.
func (r reply) problem() error {
	switch {
	case r.code == dnsmessage.RCodeNameError:
		return errNoSuchHost
	case r.code != dnsmessage.RCodeSuccess:
		name := codes[r.code]
		if name == "" {
			name = fmt.Sprintf("RCODE %d", r.code)
		}
		return fmt.Errorf("it cannot answer (%s)", name)
	case r.referral:
		return errors.New("it neither knows nor asks others")
	case len(r.addresses)+len(r.services)+r.bad == 0:
		return errNoSuchHost
	}
	return nil
}
