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

// When a shortage is over: something has worked since the last failure, and that was settled ago; or nothing has failed for forgotten,
// since nobody needs anything. At the limit of descriptors connects fail and work by turns, which is one shortage.
const (
	settled   = 5 * time.Second
	forgotten = time.Minute
)

// shortages are the episodes in which this machine lacks something that sessions need: one for each app, or one for all
// of them, and each kind of lack. The zero value has none.
type shortages struct {
	total [len(relay.Lacks)]atomic.Uint64 // how often something failed, by the place in relay.Lacks
	lasts atomic.Int32                    // how many episodes there are, for who has no lock

	mu  sync.Mutex // guards what follows
	now map[lack]*shortage
}

// lack is what is lacked, and which app lacks it; "": all do.
type lack struct {
	what relay.Lack
	app  string
}

// shortage is one episode.
type shortage struct {
	since, last time.Time
	err         error       // the last one
	works       bool        // something has worked since
	end         *time.Timer // to when it may be over
}

// words are what the log and events say of a lack, at its begin and at its end.
var words = map[relay.Lack]struct{ begins, ends, beginKind, endKind string }{
	relay.LackConnect: {"connect failed for a local reason", "no more connects fail for a local reason",
		EventConnectFailing, EventConnectResumed},
	relay.LackSession: {"session failed for a local reason; resetting it", "no more sessions fail for a local reason",
		EventShortage, EventShortageOver},
	relay.LackPipe: {"cannot create pipe; copying instead of splicing, which takes more processor time", "pipes can be created again; splicing",
		EventShortage, EventShortageOver},
}

// appOf is the name of a route's app; "" without a route.
func appOf(r *relay.Route) string {
	if r == nil {
		return ""
	}
	return r.App
}

// short tells that this machine lacks something: in the log once in a while, and by an event once in an episode. The route
// is nil if no app is concerned more than another.
func (s *Server) short(what relay.Lack, r *relay.Route, err error) {
	s.lacks(lack{what, appOf(r)}, "", err)
}

// lacks is short; target is what could not be connected to, or "".
func (s *Server) lacks(l lack, target string, err error) {
	text := words[l.what].begins
	fields := logging.Fields{logging.ErrorKey: err}
	if l.app != "" {
		fields["app"] = l.app
	}
	if target != "" {
		fields["target"] = target
	}
	s.log.Throttled(shortageBegins, string(l.what)+" "+l.app, logging.Error, text, fields)
	if s.shortages.note(l, err, func() { s.relieve(l) }) {
		s.history.note(Event{Kind: words[l.what].beginKind, App: l.app, Target: target, Text: text, Reason: err.Error()})
	}
}

// note counts a failure, and reports whether an episode begins with it. relieve is called when the episode may be over, on
// a goroutine of its own.
func (x *shortages) note(l lack, err error, relieve func()) (begins bool) {
	x.total[slices.Index(relay.Lacks[:], l.what)].Add(1)
	x.mu.Lock()
	defer x.mu.Unlock()
	now, e := time.Now(), x.now[l]
	if e == nil {
		if x.now == nil {
			x.now = map[lack]*shortage{}
		}
		e = &shortage{since: now, end: time.AfterFunc(forgotten, relieve)}
		x.now[l] = e
		x.lasts.Add(1)
		begins = true
	}
	e.last, e.err, e.works = now, err, false
	return begins
}

// works is called when something has worked that may have failed for a lack. Mostly there is none.
func (s *Server) works(what relay.Lack, r *relay.Route) {
	if s.shortages.lasts.Load() > 0 {
		s.shortages.worked(lack{what, appOf(r)})
	}
}

// connected is called when a session's connection to a target stands.
func (s *Server) connected(r *relay.Route) {
	s.works(relay.LackConnect, r)
	s.works(relay.LackSession, r)
}

// worked has an episode end once nothing has failed for settled.
func (x *shortages) worked(l lack) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.now[l]; e != nil && !e.works {
		e.works = true
		e.end.Reset(e.patience())
	}
}

// patience is for how long from now on nothing may fail, so that the episode is over.
func (e *shortage) patience() time.Duration {
	limit := forgotten
	if e.works {
		limit = settled
	}
	return limit - time.Since(e.last)
}

// relieve ends an episode, and tells so, if it is over.
func (s *Server) relieve(l lack) {
	lasted, over := s.shortages.over(l)
	if !over {
		return
	}
	text := words[l.what].ends
	fields := logging.Fields{"after": lasted.Round(time.Millisecond).String()}
	if l.app != "" {
		fields["app"] = l.app
	}
	s.log.Throttled(shortageEnds, string(l.what)+" "+l.app, logging.Info, text, fields)
	s.history.note(Event{Kind: words[l.what].endKind, App: l.app, Text: text})
}

// over takes away an episode that is over. It reports whether it is, and for how long something went on failing.
func (x *shortages) over(l lack) (lasted time.Duration, over bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.now[l]
	if e == nil {
		return 0, false
	}
	if more := e.patience(); more > 0 {
		e.end.Reset(more)
		return 0, false
	}
	e.end.Stop()
	delete(x.now, l)
	x.lasts.Add(-1)
	return e.last.Sub(e.since), true
}

// stop ends all episodes without a word.
func (x *shortages) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.now {
		e.end.Stop()
	}
	x.now = nil
	x.lasts.Store(0)
}

// read gives the episodes that last, the longest first, and how often something failed, by the lack.
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
			Kind: string(l.what), App: sanitize.Text(l.app, mostText), Problem: sanitize.Text(e.err.Error(), mostText), Since: e.since, Last: e.last,
		})
	}
	slices.SortFunc(last, func(a, b Shortage) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.App, b.App))
	})
	return last, total
}
