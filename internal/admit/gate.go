package admit

import (
	"iter"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/ratelimit"
)

// Refusal is why a client may not come in; "" is that it may.
type Refusal string

// The refusals, in the order in which a gate looks.
const (
	Denied                     Refusal = "denied" // by allow and deny
	MaxSessions                Refusal = "max_sessions"
	SessionsPerSecond          Refusal = "sessions_per_second"
	MaxSessionsPerSource       Refusal = "max_sessions_per_source"
	SessionsPerSecondPerSource Refusal = "sessions_per_second_per_source"
)

var refusals = [...]Refusal{Denied, MaxSessions, SessionsPerSecond, MaxSessionsPerSource, SessionsPerSecondPerSource}

// ByNumber reports whether it is for the number of those who are inside.
func (r Refusal) ByNumber() bool { return r == MaxSessions || r == MaxSessionsPerSource }

// Policy says who may come in. The zero value is everybody; see config.Settings.
type Policy struct {
	Allow, Deny                config.Networks
	MaxSessions                int
	MaxSessionsPerSource       int
	SessionsPerSecond          int
	SessionsPerSecondPerSource int
}

// Gate is an app's door: its policy, and who is inside. It is safe for concurrent use; nil lets everybody in.
//
// A source is an IPv4 address or an IPv6 /64. Each rate has a burst of one second's worth, and only those who are let in
// use it up.
type Gate struct {
	policy      Policy
	allow, deny Networks
	*inside
}

// inside is what the gates of an app, of which a reload makes the next, have in common.
type inside struct {
	start   time.Time // of its clock
	open    atomic.Int64
	refused [len(refusals)]atomic.Uint64

	mu      sync.Mutex // held to find that one more may enter and to count it, so that no limit is overrun
	rate    ratelimit.Bucket
	sources sources
}

// NewGate makes the gate of an app that has this policy from now on. before is the one that it had, or nil: who is
// inside, what the rates have left, and who was refused count on.
//
// Who came in while there was no limit per source does not count against one that comes later.
func NewGate(p Policy, before *Gate) *Gate {
	g := &Gate{policy: p, allow: NewNetworks(p.Allow.Prefixes()), deny: NewNetworks(p.Deny.Prefixes())}
	if before != nil {
		g.inside = before.inside
	} else {
		g.inside = &inside{start: time.Now(), sources: newSources(maxSources)}
	}
	return g
}

// Enter lets a client in, who then leaves once, by this same gate, or says why not. The source is not valid for a client
// that has no address, on a unix socket: it passes the networks and is limited with all others only.
func (g *Gate) Enter(source netip.Addr) Refusal {
	refusal := g.TryEnter(source)
	if refusal.ByNumber() {
		g.refused[slices.Index(refusals[:], refusal)].Add(1)
	}
	return refusal
}

// TryEnter is Enter that does not count a refusal ByNumber: the caller sees to it that nobody is inside any more whose
// session is over, and asks again, by Enter.
func (g *Gate) TryEnter(source netip.Addr) Refusal {
	if g == nil {
		return ""
	}
	refusal := g.enter(source)
	if refusal != "" && !refusal.ByNumber() {
		g.refused[slices.Index(refusals[:], refusal)].Add(1)
	}
	return refusal
}

func (g *Gate) enter(source netip.Addr) Refusal {
	if source.IsValid() && (g.deny.Contains(source) || !g.allow.Empty() && !g.allow.Contains(source)) {
		return Denied
	}
	p := &g.policy
	if p.MaxSessions == 0 && p.SessionsPerSecond == 0 && !g.tells(source) {
		g.open.Add(1)
		return ""
	}
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	rate := int64(p.SessionsPerSecond)
	switch {
	case p.MaxSessions > 0 && g.open.Load() >= int64(p.MaxSessions):
		return MaxSessions
	case rate > 0 && g.rate.Refill(now, rate, rate) == 0:
		return SessionsPerSecond
	}
	if g.tells(source) {
		if refusal := g.sources.enter(keyOf(source), now, p.MaxSessionsPerSource, p.SessionsPerSecondPerSource); refusal != "" {
			return refusal
		}
	}
	if rate > 0 {
		g.rate.Take(1)
	}
	g.open.Add(1)
	return ""
}

// Leave counts a client out whom this gate has let in.
func (g *Gate) Leave(source netip.Addr) {
	if g == nil {
		return
	}
	if g.tells(source) {
		now := g.now()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.sources.leave(keyOf(source), now)
	}
	g.open.Add(-1)
}

// Counts reports whether the gate may refuse a client for the number of those who are inside.
func (g *Gate) Counts() bool {
	return g != nil && (g.policy.MaxSessions > 0 || g.policy.MaxSessionsPerSource > 0)
}

// tells reports whether the gate tells this source from others.
func (g *Gate) tells(source netip.Addr) bool {
	return source.IsValid() && (g.policy.MaxSessionsPerSource > 0 || g.policy.SessionsPerSecondPerSource > 0)
}

// now is the time on the gate's clock, in nanoseconds.
func (c *inside) now() int64 { return int64(time.Since(c.start)) }

// Open is how many clients are inside.
func (g *Gate) Open() int {
	if g == nil {
		return 0
	}
	return int(g.open.Load())
}

// Sources is how many sources the gate remembers: those that have a client inside, and those whose rate has not
// recovered.
func (g *Gate) Sources() int {
	if g == nil {
		return 0
	}
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.sources.forget(now) {
	}
	return len(g.sources.index)
}

// Refused gives how many were refused for each reason, in the order of the reasons.
func (g *Gate) Refused() iter.Seq2[Refusal, uint64] {
	return func(yield func(Refusal, uint64) bool) {
		for i, refusal := range refusals {
			n := uint64(0)
			if g != nil {
				n = g.refused[i].Load()
			}
			if !yield(refusal, n) {
				return
			}
		}
	}
}
