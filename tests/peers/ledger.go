// Package peers has clients and targets that check every byte of a session, and the ledger that compares what they know
// with the records of the proxy.
package peers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"tcp-proxy/tests/harness"
)

// A Truth is the expected record of a session.
type Truth struct {
	App      string
	Peer     string   // who connects, see Name; "" if it is not known: then the record is any of the app that is nobody else's
	Clients  []string // who the record may name as the client: by the PROXY header, or the peer; nil is anybody
	Target   string   // "" is any, or none
	Up, Down Range    // bytes
	Causes   []string // one of these
	About    string   // for who reads that it was not so
}

// A Range is from and to, inclusive.
type Range [2]int64

// Exactly is the range of one number.
func Exactly(n int64) Range { return Range{n, n} }

// UpTo is the range from 0.
func UpTo(n int64) Range { return Range{0, n} }

func (r Range) holds(n int64) bool { return r[0] <= n && n <= r[1] }

func (t Truth) agrees(r harness.Record) bool {
	return t.Up.holds(r.BytesUp) && t.Down.holds(r.BytesDown) && slices.Contains(t.Causes, r.Cause) &&
		(t.Clients == nil || slices.Contains(t.Clients, r.Client)) &&
		(t.Target == "" || t.Target == r.Target || strings.HasSuffix(r.Target, "/"+t.Target))
}

// A Ledger matches expected records (Expect) with logged ones (Follow), in any order, and keeps the differences. Matched
// ones are forgotten. It is safe for concurrent use.
type Ledger struct {
	claims atomic.Uint32 // addresses that clients have claimed

	mu       sync.Mutex
	numbers  uint64
	sessions map[uint64]*Session
	open     map[string]*page  // by app and peer
	totals   map[string]*Total // by app
	wrong    []string
	errors   int
	leftOut  int
}

// A page is the expected and logged records without a match.
type page struct {
	truths  []Truth
	records []harness.Record
}

// A Total is the sum of all sessions of an app.
type Total struct {
	Truths, Records int
	Up, Down        int64 // bytes, by the records
	Causes          map[string]int
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{sessions: make(map[uint64]*Session), open: make(map[string]*page), totals: make(map[string]*Total)}
}

// maxWrong is the maximum number of error texts that are kept; all errors are counted.
const maxWrong = 20

// Wrong records an error.
func (l *Ledger) Wrong(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(fmt.Sprintf(format, args...))
}

func (l *Ledger) note(text string) {
	l.errors++
	if len(l.wrong) < maxWrong {
		l.wrong = append(l.wrong, text)
	}
}

// Errors returns the number of errors, and the first ones as text.
func (l *Ledger) Errors() (int, []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errors, slices.Clone(l.wrong)
}

func (l *Ledger) of(app, peer string) (*page, *Total) {
	key := app + " " + peer
	if l.open[key] == nil {
		l.open[key] = &page{}
	}
	if l.totals[app] == nil {
		l.totals[app] = &Total{Causes: make(map[string]int)}
	}
	return l.open[key], l.totals[app]
}

// tidy removes an empty page.
func (l *Ledger) tidy(app, peer string) {
	key := app + " " + peer
	if p := l.open[key]; p != nil && len(p.truths)+len(p.records) == 0 {
		delete(l.open, key)
	}
}

// Expect adds the expected record of a session.
func (l *Ledger) Expect(t Truth) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, total := l.of(t.App, t.Peer)
	defer l.tidy(t.App, t.Peer)
	total.Truths++
	if i := slices.IndexFunc(p.records, t.agrees); i >= 0 {
		p.records = slices.Delete(p.records, i, i+1)
		return
	}
	p.truths = append(p.truths, t)
}

// Follow takes a line of the proxy's log, and reports whether it was a record. Use it for harness.Rig.Follow.
func (l *Ledger) Follow(line harness.Line) bool {
	r, ok, err := line.Record()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, ok := line.Fields["left_out"].(float64); ok && strings.HasPrefix(line.Message, "log entries were left out") {
		l.leftOut += int(n)
	}
	if err != nil {
		l.note(err.Error())
	}
	if !ok {
		return false
	}
	peer := r.Client
	if r.Peer != "" {
		peer = r.Peer
	}
	p, total := l.of(r.App, peer)
	defer l.tidy(r.App, peer)
	total.Records++
	total.Up += r.BytesUp
	total.Down += r.BytesDown
	total.Causes[r.Cause]++
	if i := slices.IndexFunc(p.truths, func(t Truth) bool { return t.agrees(r) }); i >= 0 {
		p.truths = slices.Delete(p.truths, i, i+1)
		return true
	}
	p.records = append(p.records, r)
	return true
}

// Unmet returns how many expected and logged records have no match, except for records that the log says it left out.
func (l *Ledger) Unmet() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	truths, records := l.unmet()
	return max(0, truths-l.leftOut) + records
}

// unmet first matches truths without a peer's address with what is left.
func (l *Ledger) unmet() (truths, records int) {
	for key, p := range l.open {
		l.settle(p)
		if len(p.truths)+len(p.records) == 0 {
			delete(l.open, key)
		}
	}
	for _, p := range l.open {
		truths += len(p.truths)
		records += len(p.records)
	}
	return truths, records
}

// Settle records everything without a match as an error. It returns the totals of the apps.
func (l *Ledger) Settle() map[string]Total {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing, _ := l.unmet()
	for _, key := range slices.Sorted(maps.Keys(l.open)) {
		p := l.open[key]
		for _, r := range p.records {
			l.note(fmt.Sprintf("record %+v: the peers know %s", r, either(p.truths)))
		}
		if len(p.records) == 0 && missing > l.leftOut {
			for _, t := range p.truths {
				l.note(fmt.Sprintf("no record of %+v", t))
			}
		}
	}
	all := make(map[string]Total)
	for app, total := range l.totals {
		all[app] = *total
	}
	return all
}

// settle looks for the counterparts of truths without a peer's address on all pages of the app.
func (l *Ledger) settle(p *page) {
	p.truths = slices.DeleteFunc(p.truths, func(t Truth) bool {
		if t.Peer != "" {
			return false
		}
		for _, other := range l.open {
			if i := slices.IndexFunc(other.records, func(r harness.Record) bool { return r.App == t.App && t.agrees(r) }); i >= 0 {
				other.records = slices.Delete(other.records, i, i+1)
				return true
			}
		}
		return false
	})
}

func either(truths []Truth) string {
	if len(truths) == 0 {
		return "of no such session"
	}
	return fmt.Sprintf("%+v", truths)
}
