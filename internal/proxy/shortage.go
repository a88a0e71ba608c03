package proxy

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/sanitize"
)

// A shortage ends settleTime after the last failure if something has worked since, or else forgetTime after it. At
// the limit of descriptors, connects alternately fail and succeed; that is one shortage.
const (
	settleTime = 5 * time.Second
	forgetTime = time.Minute
)

// shortages are the current shortages: times in which this machine lacks something that sessions need, one for each
// kind and app, or one for all apps. The zero value has none.
type shortages struct {
	total   [len(relay.Lacks)]atomic.Uint64 // failures, by index in relay.Lacks
	lasting atomic.Int32                    // length of now, for readers without the lock

	mu  sync.Mutex // guards the fields below
	now map[shortageKey]*shortage
}

// shortageKey is what this machine lacks, and the app that is affected; "": all apps.
type shortageKey struct {
	what relay.Lack
	app  string
}

// shortage is one shortage.
type shortage struct {
	since, last time.Time
	err         error       // the last error
	works       bool        // something has worked since the last failure
	end         *time.Timer // calls endShortage
}

// shortageTexts are the texts of log entries and events at the begin and the end of a shortage.
var shortageTexts = map[relay.Lack]struct{ begins, ends, beginKind, endKind string }{
	relay.LackConnect: {"connect failed for a local reason", "no more connects fail for a local reason",
		EventConnectFailing, EventConnectResumed},
	relay.LackSession: {"session failed for a local reason; resetting it", "no more sessions fail for a local reason",
		EventShortage, EventShortageOver},
	relay.LackPipe: {"cannot create pipe; copying instead of splicing, which takes more processor time", "pipes can be created again; splicing",
		EventShortage, EventShortageOver},
}

// appOf returns the name of the app of a route; "" without a route.
func appOf(r *relay.Route) string {
	if r == nil {
		return ""
	}
	return r.App
}

// short reports that this machine lacks something: in the log at intervals, and by one event for each shortage. The
// route is nil if no particular app is affected.
func (s *Server) short(what relay.Lack, r *relay.Route, err error) {
	s.fails(shortageKey{what, appOf(r)}, "", err)
}

// fails is short with the name of the target that could not be connected to, or "".
func (s *Server) fails(l shortageKey, target string, err error) {
	text := shortageTexts[l.what].begins
	fields := logging.Fields{logging.ErrorKey: err}
	if l.app != "" {
		fields["app"] = l.app
	}
	if target != "" {
		fields["target"] = target
	}
	s.log.Throttled(shortageBegins, string(l.what)+" "+l.app, logging.Error, text, fields)
	if s.shortages.note(l, err, func() { s.endShortage(l) }) {
		s.history.note(Event{Kind: shortageTexts[l.what].beginKind, App: l.app, Target: target, Text: text, Reason: err.Error()})
	}
}

// note counts a failure, and returns whether a shortage begins with it. It calls end, on its own goroutine, when the
// shortage may have ended.
func (x *shortages) note(l shortageKey, err error, endShortage func()) (begins bool) {
	x.total[slices.Index(relay.Lacks[:], l.what)].Add(1)
	x.mu.Lock()
	defer x.mu.Unlock()
	now, e := time.Now(), x.now[l]
	if e == nil {
		if x.now == nil {
			x.now = map[shortageKey]*shortage{}
		}
		e = &shortage{since: now, end: time.AfterFunc(forgetTime, endShortage)}
		x.now[l] = e
		x.lasting.Add(1)
		begins = true
	}
	e.last, e.err, e.works = now, err, false
	return begins
}

// works is called when something succeeds that a shortage could make fail. It is fast while there is no shortage.
func (s *Server) works(what relay.Lack, r *relay.Route) {
	if s.shortages.lasting.Load() > 0 {
		s.shortages.worked(shortageKey{what, appOf(r)})
	}
}

// connected is called when a session is connected to its target.
func (s *Server) connected(r *relay.Route) {
	s.works(relay.LackConnect, r)
	s.works(relay.LackSession, r)
}

// worked ends a shortage once settleTime has passed without a failure.
func (x *shortages) worked(l shortageKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.now[l]; e != nil && !e.works {
		e.works = true
		e.end.Reset(e.remaining())
	}
}

// remaining returns for how much longer nothing may fail until the shortage ends.
func (e *shortage) remaining() time.Duration {
	limit := forgetTime
	if e.works {
		limit = settleTime
	}
	return limit - time.Since(e.last)
}

// endShortage ends and reports a shortage if it has ended.
func (s *Server) endShortage(l shortageKey) {
	lasted, over := s.shortages.over(l)
	if !over {
		return
	}
	text := shortageTexts[l.what].ends
	fields := logging.Fields{"after": lasted.Round(time.Millisecond).String()}
	if l.app != "" {
		fields["app"] = l.app
	}
	s.log.Throttled(shortageEnds, string(l.what)+" "+l.app, logging.Info, text, fields)
	s.history.note(Event{Kind: shortageTexts[l.what].endKind, App: l.app, Text: text})
}

// over removes a shortage if it has ended. It returns whether it has, and the time from the first failure to the last.
func (x *shortages) over(l shortageKey) (lasted time.Duration, over bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.now[l]
	if e == nil {
		return 0, false
	}
	if more := e.remaining(); more > 0 {
		e.end.Reset(more)
		return 0, false
	}
	e.end.Stop()
	delete(x.now, l)
	x.lasting.Add(-1)
	return e.last.Sub(e.since), true
}

// stop ends all shortages without a report.
func (x *shortages) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.now {
		e.end.Stop()
	}
	x.now = nil
	x.lasting.Store(0)
}

// read returns the current shortages, the longest first, and the number of failures by kind.
func (x *shortages) read() ([]Shortage, map[string]uint64) {
	total := map[string]uint64{}
	for i, what := range relay.Lacks {
		total[string(what)] = x.total[i].Load()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	last := make([]Shortage, 0, len(x.now))
	for l, e := range x.now {
		last = append(last, Shortage{
			Kind: string(l.what), App: sanitize.Text(l.app, maxText), Problem: sanitize.Text(e.err.Error(), maxText), Since: e.since, Last: e.last,
		})
	}
	slices.SortFunc(last, func(a, b Shortage) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.App, b.App))
	})
	return last, total
}
