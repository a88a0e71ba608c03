package resolve

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tcp-proxy/internal/target"
)

// answer is what a lookup gave: addresses, or services.
type answer struct {
	addresses []netip.Addr // sorted
	services  []service
	ttl       time.Duration
	unheard   family // of which there may be addresses, for no server has said anything about it
}

// endpoints gives the addresses with a port.
func (a answer) endpoints(port uint16) []target.Endpoint {
	found := make([]target.Endpoint, len(a.addresses))
	for i, ip := range a.addresses {
		found[i] = target.Endpoint{Addr: netip.AddrPortFrom(ip, port)}
	}
	return found
}

// or completes what a lookup gave that failed, or failed by half, with what was known before.
func (a answer) or(before answer) answer {
	if len(a.addresses)+len(a.services) == 0 {
		return before
	}
	for _, ip := range before.addresses {
		if familyOf(ip) == a.unheard {
			a.addresses = append(a.addresses, ip)
		}
	}
	a.addresses = tidy(a.addresses)
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

// lookupLimit is how long a lookup may take: as long as two servers may that are asked twice (resolv.conf(5)).
const lookupLimit = 25 * time.Second

// lookUp asks the system. With an error there may still be addresses of one family: the other had no answer.
func lookUp(ctx context.Context, q question) (answer, error) {
	return lookUpWith(ctx, q, (&net.Dialer{}).DialContext)
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func lookUpWith(ctx context.Context, q question, dial dialFunc) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	t := &trace{ctx: ctx, dial: dial}
	defer t.end()
	defer cancel()
	resolver := &net.Resolver{PreferGo: true, Dial: t.connect}
	var a answer
	var err error
	if q.srv {
		a.services, err = lookUpServices(ctx, resolver, q.name)
	} else {
		a.addresses, err = lookUpAddresses(ctx, resolver, q.name)
	}
	a.ttl = t.ttl()
	if a.unheard = t.unheard(); err == nil && a.unheard != 0 {
		err = fmt.Errorf("lookup %s: no answer for its %s addresses", q.name, a.unheard)
	}
	return a, err
}

func lookUpAddresses(ctx context.Context, resolver *net.Resolver, host string) ([]netip.Addr, error) {
	found, err := resolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	addresses := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			addresses = append(addresses, ip.Unmap().WithZone(a.Zone))
		}
	}
	return tidy(addresses), nil
}

func lookUpServices(ctx context.Context, resolver *net.Resolver, name string) ([]service, error) {
	_, found, err := resolver.LookupSRV(ctx, "", "", name)
	if len(found) == 0 && err != nil {
		return nil, err
	}
	services := make([]service, 0, len(found))
	for _, s := range found {
		if s.Target == "." {
			return nil, fmt.Errorf("lookup %s: its SRV record says that there is no such service", name)
		}
		services = append(services, service{strings.ToLower(s.Target), s.Port, int(s.Priority), int(s.Weight)})
	}
	return services, err // of records that were left out
}

// tooMany is the error of a name that has more endpoints than are used.
type tooMany struct{ n int }

func (t *tooMany) Error() string {
	return fmt.Sprintf("it has %d addresses, of which %d are used", t.n, maxEndpoints)
}
