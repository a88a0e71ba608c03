package resolve

import (
	"container/list"
	"net/netip"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/upstream"
)

// schedule decides which entry is looked up next. It has three classes, each with its own slots, so that entries in one
// class never wait for those in another:
//
//   - refresh: entries that have an answer, which expires;
//   - initial: entries that never had an answer;
//   - slow: entries whose last lookup took longer than quickTimeout. In the other classes a lookup is aborted after that
//     time and starts again in this class, with slowTimeout.
//
// So an entry whose servers answer waits for unresponsive ones for at most quickTimeout. Within a class, apps take turns,
// and within an app its flows do (fair queueing). A flow is all entries of one fair-share key: those of an app's names in
// one zone, or of an SRV name with its hosts. No flow uses more than its share of the slots, even if the others are free.
// Every operation takes constant time. The Resolver's mu guards the schedule.
type schedule struct {
	refresh, initial, slow class
}

// The slots of the classes, and the share of one flow in them.
const (
	refreshSlots, refreshShare = 32, 16
	initialSlots, initialShare = 16, 8
	slowSlots, slowShare       = 16, 4
)

// MaxSockets is the maximum number of sockets of all lookups: a lookup of addresses has one for each family.
const MaxSockets = 2 * (refreshSlots + initialSlots + slowSlots)

// SocketsFor returns the maximum number of sockets of the lookups for one address of targets; 0 if it is not a name.
func SocketsFor(a config.Address) int {
	switch _, err := netip.ParseAddr(a.Host); {
	case a.Network == "srv":
		return 2 * (refreshShare + initialShare + slowShare)
	case a.Network == "tcp" && err != nil:
		return 2
	}
	return 0
}

// EndpointsOf returns the maximum number of targets that one address of targets resolves to; 1 if it is not a name.
func EndpointsOf(a config.Address) int {
	if SocketsFor(a) > 0 {
		return maxEndpoints
	}
	return 1
}

// The timeout of a lookup: quickTimeout in the classes refresh and initial, up to slowTimeout in the class slow.
const (
	quickTimeout = time.Second
	slowTimeout  = 10 * time.Second // two servers, or two attempts, by the defaults of resolv.conf(5)
)

func newSchedule() *schedule {
	return &schedule{newClass(refreshSlots, refreshShare), newClass(initialSlots, initialShare), newClass(slowSlots, slowShare)}
}

// add queues an entry.
func (s *schedule) add(e *entry) {
	switch {
	case e.slow:
		e.class = &s.slow
	case !e.refreshed.IsZero():
		e.class = &s.refresh
	default:
		e.class = &s.initial
	}
	e.class.add(e)
}

// next takes a slot and returns the entry to look up, until release; nil if no entry is queued that may have a slot.
func (s *schedule) next() *entry {
	for _, c := range []*class{&s.refresh, &s.initial, &s.slow} {
		if e := c.next(); e != nil {
			return e
		}
	}
	return nil
}

// release gives the slot of an entry back.
func (s *schedule) release(e *entry) { e.class.release(e) }

// remove takes an entry out of its queue, if it is queued.
func (s *schedule) remove(e *entry) {
	if e.queued != nil {
		e.class.remove(e)
	}
}

// fairKey identifies a flow: the names of an app in a zone, or an SRV name of an app. An app is identified by its set.
type fairKey struct {
	app  *upstream.Set
	zone string
}

// class is a number of slots, and the flows that use or wait for them.
type class struct {
	slots, share int
	busy         int
	flows        map[fairKey]*flow           // that have a slot or a queued entry
	apps         map[*upstream.Set]*appFlows // that have flows in ready
	ready        list.List                   // of *appFlows, in the order of their turns
}

// appFlows is the flows of one app that take turns.
type appFlows struct {
	set      *upstream.Set
	ready    list.List     // of *flow: those with queued entries that have not used up their share
	position *list.Element // in the class's ready; nil: it has no ready flow
}

// flow is the queue of one fair-share key.
type flow struct {
	fairKey
	busy     int
	queue    list.List     // of *entry
	position *list.Element // in the app's ready; nil: it is not ready
}

func newClass(slots, share int) class {
	return class{slots: slots, share: share, flows: map[fairKey]*flow{}, apps: map[*upstream.Set]*appFlows{}}
}

func (c *class) add(e *entry) {
	e.fairKey = e.owner.fairKey()
	f := c.flows[e.fairKey]
	if f == nil {
		f = &flow{fairKey: e.fairKey}
		c.flows[e.fairKey] = f
	}
	e.queued = f.queue.PushBack(e)
	c.update(f)
}

func (c *class) next() *entry {
	if c.busy == c.slots || c.ready.Len() == 0 {
		return nil
	}
	a := c.ready.Front().Value.(*appFlows)
	f := a.ready.Front().Value.(*flow)
	e := f.queue.Front().Value.(*entry)
	f.queue.Remove(e.queued)
	e.queued = nil
	c.busy++
	f.busy++
	a.ready.MoveToBack(f.position)
	c.ready.MoveToBack(a.position)
	c.update(f)
	return e
}

func (c *class) release(e *entry) {
	f := c.flows[e.fairKey]
	c.busy--
	f.busy--
	c.update(f)
}

func (c *class) remove(e *entry) {
	f := c.flows[e.fairKey]
	f.queue.Remove(e.queued)
	e.queued = nil
	c.update(f)
}

// oversubscribed reports whether more entries of e's flow are queued than may run at a time.
func (c *class) oversubscribed(e *entry) bool { return c.flows[e.fairKey].queue.Len() > c.share }

// update adds a flow, and its app, to the ready lists if an entry of it may be next, and removes it otherwise. It deletes
// flows that have neither queued nor running entries.
func (c *class) update(f *flow) {
	a := c.apps[f.app]
	switch may := f.queue.Len() > 0 && f.busy < c.share; {
	case may && f.position == nil:
		if a == nil {
			a = &appFlows{set: f.app}
			c.apps[f.app] = a
			a.position = c.ready.PushBack(a)
		}
		f.position = a.ready.PushBack(f)
	case !may && f.position != nil:
		a.ready.Remove(f.position)
		f.position = nil
		if a.ready.Len() == 0 {
			c.ready.Remove(a.position)
			delete(c.apps, f.app)
		}
	}
	if f.queue.Len() == 0 && f.busy == 0 {
		delete(c.flows, f.fairKey)
	}
}
