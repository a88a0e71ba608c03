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

// Refusal is the reason why a client is not admitted; "" if it is.
type Refusal string

// The refusals, in the order in which a gate checks them.
const (
	Denied                     Refusal = "denied" // by Allow and Deny
	MaxSessions                Refusal = "max_sessions"
	SessionsPerSecond          Refusal = "sessions_per_second"
	MaxSessionsPerSource       Refusal = "max_sessions_per_source"
	SessionsPerSecondPerSource Refusal = "sessions_per_second_per_source"
)

var refusals = [...]Refusal{Denied, MaxSessions, SessionsPerSecond, MaxSessionsPerSource, SessionsPerSecondPerSource}

// ByNumber reports whether the reason is the number of open sessions, which may be less a moment later.
func (r Refusal) ByNumber() bool { return r == MaxSessions || r == MaxSessionsPerSource }

// Policy says which clients are admitted. The zero value admits all; config.Settings describes the fields.
type Policy struct {
	Allow, Deny                config.Networks
	MaxSessions                int
	MaxSessionsPerSource       int
	SessionsPerSecond          int
	SessionsPerSecondPerSource int
}

// Gate admits the clients of an app by its policy, and counts those that are open: admitted, and not yet left. It is safe
// for concurrent use; a nil Gate admits everybody.
//
// A source is an IPv4 address or an IPv6 /64. Each rate has a burst of one second's worth, and only clients that are
// admitted use it up.
type Gate struct {
	policy      Policy
	allow, deny Networks
	*state
}

// state is shared by the successive gates of an app: a reload makes a new gate with the state of the one before.
type state struct {
	start   time.Time // zero of the clock of now
	open    atomic.Int64
	refused [len(refusals)]atomic.Uint64

	mu      sync.Mutex // guards what follows, and is held from checking open against a limit until it is counted up
	rate    ratelimit.Bucket
	sources sources
}

// NewGate makes a gate with a policy. before is the previous gate of the app, or nil; the new one takes over its open
// clients, rates and counts of refusals.
//
// Clients that were admitted while there was no limit per source do not count against one that a later gate has.
func NewGate(p Policy, before *Gate) *Gate {
	g := &Gate{policy: p, allow: NewNetworks(p.Allow.Prefixes()), deny: NewNetworks(p.Deny.Prefixes())}
	if before != nil {
		g.state = before.state
	} else {
		g.state = &state{start: time.Now(), sources: newSources(maxSources)}
	}
	return g
}

// Enter admits a client or returns the reason why not. The caller calls Leave of this same gate once for each client that
// was admitted. A client on a unix socket has no address, so source is not valid: no list of networks applies to it, nor
// a limit per source.
func (g *Gate) Enter(source netip.Addr) Refusal {
	refusal := g.TryEnter(source)
	if refusal.ByNumber() {
		g.refused[slices.Index(refusals[:], refusal)].Add(1)
	}
	return refusal
}

// TryEnter is Enter, except that it does not count a refusal ByNumber. After one, the caller calls Leave for the clients
// whose connections have ended meanwhile, and then Enter.
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
	if p.MaxSessions == 0 && p.SessionsPerSecond == 0 && !g.countsSource(source) {
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
	if g.countsSource(source) {
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

// Reenter counts a client that this gate has admitted and that has left, whatever the limits and rates: its session goes on in
// another engine. The caller calls Leave as after Enter.
func (g *Gate) Reenter(source netip.Addr) {
	if g == nil {
		return
	}
	if g.countsSource(source) {
		now := g.now()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.sources.enter(keyOf(source), now, 0, 0)
	}
	g.open.Add(1)
}

// Leave ends the count of a client that this gate has admitted.
func (g *Gate) Leave(source netip.Addr) {
	if g == nil {
		return
	}
	if g.countsSource(source) {
		now := g.now()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.sources.leave(keyOf(source), now)
	}
	g.open.Add(-1)
}

// Counts reports whether the gate has a limit for the number of open sessions, so that a refusal may be ByNumber.
func (g *Gate) Counts() bool {
	return g != nil && (g.policy.MaxSessions > 0 || g.policy.MaxSessionsPerSource > 0)
}

// countsSource reports whether a limit per source applies to this one.
func (g *Gate) countsSource(source netip.Addr) bool {
	return source.IsValid() && (g.policy.MaxSessionsPerSource > 0 || g.policy.SessionsPerSecondPerSource > 0)
}

// now is the time since start, in nanoseconds.
func (s *state) now() int64 { return int64(time.Since(s.start)) }

// Open is the number of clients that were admitted and have not left.
func (g *Gate) Open() int {
	if g == nil {
		return 0
	}
	return int(g.open.Load())
}

// Sources is the number of sources that the gate keeps: those with an open client, and those whose bucket is not full.
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

// Refused returns the number of clients that were refused for each reason, in the order of the constants.
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
