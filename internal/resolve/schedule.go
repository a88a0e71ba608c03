package resolve

import (
	"container/list"
	"net/netip"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/upstream"
)

// A schedule decides which question is asked next. It has three lanes, each with places of its own, so that what is in one
// never waits for what is in another:
//
//   - kept: questions that have an answer, which gets old;
//   - fresh: questions that never had one;
//   - slow: questions whose last lookup took more than quickPatience. In the other lanes a lookup is ended after that time,
//     and begins anew in this one, with more patience.
//
// So a question that servers answer waits for none that they leave without an answer longer than it takes to find that
// out. Within a lane the apps take turns, and within an app its parties: a party is the names of one zone, or an SRV name
// with the hosts that its records name. No party has more than its share of the places, even if nobody else wants them.
// Every operation takes the same time, however much waits. The Resolver's mu guards it.
type schedule struct {
	kept, fresh, slow lane
}

// The places of the lanes, and a party's share of them.
const (
	keptPlaces, keptShare   = 32, 16
	freshPlaces, freshShare = 16, 8
	slowPlaces, slowShare   = 16, 4
)

// MaxSockets is the most sockets that lookups have at a time: a question for addresses is one for each family.
const MaxSockets = 2 * (keptPlaces + freshPlaces + slowPlaces)

// SocketsFor is the most sockets that lookups have at a time for one address of targets: none, if it is no name.
func SocketsFor(a config.Address) int {
	switch _, err := netip.ParseAddr(a.Host); {
	case a.Network == "srv":
		return 2 * (keptShare + freshShare + slowShare)
	case a.Network == "tcp" && err != nil:
		return 2
	}
	return 0
}

// EndpointsOf is the most targets that one address of targets stands for: one, if it is no name.
func EndpointsOf(a config.Address) int {
	if SocketsFor(a) > 0 {
		return maxEndpoints
	}
	return 1
}

// How long a lookup may take, in the slow lane and in the others.
const (
	quickPatience = time.Second
	slowPatience  = 10 * time.Second // two servers, or two attempts, by the defaults of resolv.conf(5)
)

func newSchedule() *schedule {
	return &schedule{newLane(keptPlaces, keptShare), newLane(freshPlaces, freshShare), newLane(slowPlaces, slowShare)}
}

// add has a question wait to be asked.
func (s *schedule) add(q *record) {
	switch {
	case q.slow:
		q.lane = &s.slow
	case !q.refreshed.IsZero():
		q.lane = &s.kept
	default:
		q.lane = &s.fresh
	}
	q.lane.add(q)
}

// next is a question that is to be asked now, until done; nil: there is none, or no place for it.
func (s *schedule) next() *record {
	for _, l := range []*lane{&s.kept, &s.fresh, &s.slow} {
		if q := l.next(); q != nil {
			return q
		}
	}
	return nil
}

// done gives the place of a question back.
func (s *schedule) done(q *record) { q.lane.done(q) }

// remove ends the wait of a question, if it waits.
func (s *schedule) remove(q *record) {
	if q.waits != nil {
		q.lane.remove(q)
	}
}

// party is who shares places: an app's names of a zone, or its SRV name. Apps are told apart by their targets.
type party struct {
	app  *upstream.Set
	zone string
}

// lane is some places, and who waits for them.
type lane struct {
	places, share int
	busy          int
	parties       map[party]*members // that have a place or wait for one
	apps          map[*upstream.Set]*app
	turns         list.List // of *app: who has somebody that may be next
}

// app is the parties of one app that take turns.
type app struct {
	set   *upstream.Set
	turns list.List     // of *members: those that wait and have not got their share
	turn  *list.Element // in the lane's turns; nil: nobody of it may be next
}

// members are the questions of one party.
type members struct {
	party
	busy  int
	queue list.List     // of *record
	turn  *list.Element // in the app's turns; nil: none may be next
}

func newLane(places, share int) lane {
	return lane{places: places, share: share, parties: map[party]*members{}, apps: map[*upstream.Set]*app{}}
}

func (l *lane) add(q *record) {
	q.party = q.owner.party()
	m := l.parties[q.party]
	if m == nil {
		m = &members{party: q.party}
		l.parties[q.party] = m
	}
	q.waits = m.queue.PushBack(q)
	l.line(m)
}

func (l *lane) next() *record {
	if l.busy == l.places || l.turns.Len() == 0 {
		return nil
	}
	a := l.turns.Front().Value.(*app)
	m := a.turns.Front().Value.(*members)
	q := m.queue.Front().Value.(*record)
	m.queue.Remove(q.waits)
	q.waits = nil
	l.busy++
	m.busy++
	a.turns.MoveToBack(m.turn)
	l.turns.MoveToBack(a.turn)
	l.line(m)
	return q
}

func (l *lane) done(q *record) {
	m := l.parties[q.party]
	l.busy--
	m.busy--
	l.line(m)
}

func (l *lane) remove(q *record) {
	m := l.parties[q.party]
	m.queue.Remove(q.waits)
	q.waits = nil
	l.line(m)
}

// crowded reports whether more questions of q's party wait than have places.
func (l *lane) crowded(q *record) bool { return l.parties[q.party].queue.Len() > l.share }

// line has a party, and its app, stand in line if it may be next, and not if it may not. It forgets a party that is over.
func (l *lane) line(m *members) {
	a := l.apps[m.app]
	switch may := m.queue.Len() > 0 && m.busy < l.share; {
	case may && m.turn == nil:
		if a == nil {
			a = &app{set: m.app}
			l.apps[m.app] = a
			a.turn = l.turns.PushBack(a)
		}
		m.turn = a.turns.PushBack(m)
	case !may && m.turn != nil:
		a.turns.Remove(m.turn)
		m.turn = nil
		if a.turns.Len() == 0 {
			l.turns.Remove(a.turn)
			delete(l.apps, m.app)
		}
	}
	if m.queue.Len() == 0 && m.busy == 0 {
		delete(l.parties, m.party)
	}
}
