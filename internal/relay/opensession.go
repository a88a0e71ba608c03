package relay

import (
	"cmp"
	"container/heap"
	"errors"
	"net/netip"
	"slices"
	"time"

	"tcp-proxy/internal/upstream"
)

// OpenSession is what an engine knows of an open session at one moment.
type OpenSession struct {
	ID       uint64 // as in its Record
	Route    *Route
	Port     *Port
	Client   netip.AddrPort   // by the PROXY header, if it names one; not valid on a unix socket
	Peer     netip.AddrPort   // who connected; not valid on a unix socket
	Target   *upstream.Target // it is connected to, or that is being tried; nil: none
	Progress Progress
	Begun    time.Time // accepted
	Moved    time.Time // a byte was last relayed, or else the target was connected; zero until that
	Upload   int64     // bytes written to the target
	Download int64     // bytes written to the client
}

// Progress is how far an open session has come, as users see it.
type Progress string

// The steps of a session.
const (
	AwaitsHeader Progress = "header"      // the client's PROXY header is awaited
	Admission    Progress = "admission"   // the gate is asked again, because of the number of sessions
	AwaitsSlot   Progress = "waiting"     // for a slot on a target, or for the first answer of a name
	Connecting   Progress = "connecting"  // to a target; or the next one is being chosen
	Established  Progress = "established" // bytes are relayed both ways
	HalfClosed   Progress = "half_closed" // one side has finished
)

// Progresses is every step.
var Progresses = [...]Progress{AwaitsHeader, Admission, AwaitsSlot, Connecting, Established, HalfClosed}

// Selection says which open sessions Engine.Sessions is to return.
type Selection struct {
	// Match reports whether a session is selected, by everything but Moved, Upload and Download, which are not known yet.
	// nil: all are. Engines call it from several goroutines at once; it must not block.
	Match func(*OpenSession) bool
	Limit int // how many are returned at most; at least 1
}

// OpenSessions is the answer of Engine.Sessions.
type OpenSessions struct {
	Oldest   []OpenSession // of those that match, the longest open first
	Matching int           // how many match
	Open     int           // how many are open
	Missing  int           // event loops that have not answered in time: their sessions are not in the numbers above
	Loops    int           // of that many
}

// ErrNoSession is the error of Engine.EndSession for a session that is not open, or never was.
var ErrNoSession = errors.New("it has ended, or there never was one")

// Collector collects the oldest sessions of a selection. The zero value is not ready: use NewCollector.
type Collector struct {
	Selection
	found    youngestFirst
	open     int
	matching int
}

// NewCollector makes a collector for a selection.
func NewCollector(of Selection) *Collector { return &Collector{Selection: of} }

// Add counts a session, and keeps it if it matches and is one of the oldest. measure, called for a session that is kept,
// fills in what Match does without. The session is the caller's again when Add returns.
func (c *Collector) Add(s *OpenSession, measure func(*OpenSession)) {
	c.open++
	if c.Match != nil && !c.Match(s) {
		return
	}
	c.matching++
	switch {
	case len(c.found) < c.Limit:
		measure(s)
		c.found = append(c.found, *s)
		if len(c.found) == c.Limit {
			heap.Init(&c.found)
		}
	case older(s, &c.found[0]) < 0:
		measure(s)
		c.found[0] = *s
		heap.Fix(&c.found, 0)
	}
}

// Merge adds what another collector has collected, which is not used any more.
func (c *Collector) Merge(other *Collector) {
	c.open += other.open
	c.matching += other.matching
	c.found = append(c.found, other.found...)
	c.found.sort()
	c.found = c.found[:min(len(c.found), c.Limit)]
}

// Result returns what was collected. The collector is not used any more.
func (c *Collector) Result() OpenSessions {
	c.found.sort()
	return OpenSessions{Oldest: c.found, Matching: c.matching, Open: c.open}
}

// older orders sessions by when they began; then by their ID.
func older(a, b *OpenSession) int {
	return cmp.Or(a.Begun.Compare(b.Begun), cmp.Compare(a.ID, b.ID))
}

// youngestFirst is a heap (package container/heap) with the youngest session at index 0.
type youngestFirst []OpenSession

func (f youngestFirst) sort() {
	slices.SortFunc(f, func(a, b OpenSession) int { return older(&a, &b) })
}

// Len implements heap.Interface.
func (f youngestFirst) Len() int { return len(f) }

// Less implements heap.Interface.
func (f youngestFirst) Less(i, j int) bool { return older(&f[i], &f[j]) > 0 }

// Swap implements heap.Interface.
func (f youngestFirst) Swap(i, j int) { f[i], f[j] = f[j], f[i] }

// Push implements heap.Interface. It is not called: the heap is filled before heap.Init.
func (f *youngestFirst) Push(any) { panic("relay: a heap of fixed size") }

// Pop implements heap.Interface. It is not called.
func (f *youngestFirst) Pop() any { panic("relay: a heap of fixed size") }
