package admit

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"

	"tcp-proxy/internal/ratelimit"
)

// maxSources is how many sources a gate tells apart: more than a pool can have workers (config.Config), so that those
// who are inside always have a place. A source takes about 110 bytes.
const maxSources = 1 << 20

// shares is how many places the sources have in common for which there is none of their own.
const shares = 1024

// sources is what a gate remembers of each source. It is guarded by the gate's lock, and nothing in it points, so the
// garbage collector has nothing to read.
//
// A source is forgotten when its last client has left and its bucket is full again, at most a second after the last
// that came in. There is a place for max of them. Beyond that newcomers are put together, by a hash that nobody can
// foresee, in places that count as one source each: a flood of new sources takes nothing from those that are known, for
// whom every limit holds as before, and shares what it may do with other newcomers. What a source has in a shared place
// does not count against the place of its own that it may get later.
type sources struct {
	max   int
	seed  maphash.Seed
	index map[key]int32
	slab  []*[slabSize]source // by number; what has a number stays where it is

	used int32 // numbers given out so far, from 1
	free int32 // the first that is free again, or 0; more by next

	oldest, newest int32 // sources to be forgotten, by next, in the order of since; or 0
}

const slabSize = 1024

type source struct {
	key      key
	bucket   ratelimit.Bucket // unused, and zero, without a rate per source
	sessions int32
	next     int32
	queued   bool  // to be forgotten, unless it is back
	since    int64 // when it was queued
}

// key names a source, or a place that several share.
type key struct {
	bits uint64
	kind byte
}

const (
	ipv4 = iota
	ipv6 // /64
	shared
)

func keyOf(a netip.Addr) key {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return key{uint64(binary.BigEndian.Uint32(b[:])), ipv4}
	}
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:]), ipv6}
}

func newSources(max int) sources {
	return sources{max: max, seed: maphash.MakeSeed(), index: map[key]int32{}}
}

// enter counts one client of the source in, or says why not. Limits of 0 are none.
func (t *sources) enter(k key, now int64, limit, rate int) Refusal {
	t.forget(now)
	t.forget(now) // faster than others come
	i, known := t.index[k]
	if !known && len(t.index) >= t.max {
		k = t.share(k)
		i, known = t.index[k]
	}
	if !known {
		i = t.add(k)
	}
	s := t.at(i)
	switch {
	case limit > 0 && int(s.sessions) >= limit:
		return MaxSessionsPerSource
	case rate > 0 && s.bucket.Refill(now, int64(rate), int64(rate)) == 0:
		return SessionsPerSecondPerSource
	}
	if rate > 0 {
		s.bucket.Take(1)
	}
	s.sessions++
	return ""
}

// leave counts one client out.
func (t *sources) leave(k key, now int64) {
	i := t.index[k]
	if i == 0 || t.at(i).sessions == 0 { // it came in while there was no place for its source alone
		i = t.index[t.share(k)]
	}
	if i == 0 {
		panic("admit: a client leaves that has not come in")
	}
	s := t.at(i)
	s.sessions--
	switch {
	case s.sessions > 0 || s.queued:
	case s.bucket == ratelimit.Bucket{}:
		t.remove(i)
	default:
		t.queue(i, now)
	}
	t.forget(now)
}

// share returns the key of the place that a source shares.
func (t *sources) share(k key) key {
	return key{maphash.Comparable(t.seed, k) % shares, shared}
}

// at returns the source of a number.
func (t *sources) at(i int32) *source { return &t.slab[i/slabSize][i%slabSize] }

func (t *sources) add(k key) int32 {
	i := t.free
	if i != 0 {
		t.free = t.at(i).next
	} else {
		t.used++
		i = t.used
		if int(i/slabSize) >= len(t.slab) {
			t.slab = append(t.slab, new([slabSize]source))
		}
	}
	*t.at(i) = source{key: k}
	t.index[k] = i
	return i
}

func (t *sources) remove(i int32) {
	s := t.at(i)
	delete(t.index, s.key)
	*s = source{next: t.free}
	t.free = i
	if len(t.index) == 0 && len(t.slab) > 1 { // what a flood took
		*t = newSources(t.max)
	}
}

// queue puts a source without clients at the end of those to be forgotten.
func (t *sources) queue(i int32, now int64) {
	s := t.at(i)
	s.queued, s.since, s.next = true, now, 0
	if t.newest == 0 {
		t.oldest = i
	} else {
		t.at(t.newest).next = i
	}
	t.newest = i
}

// forget looks at the one that has been queued for longest, if that is a second, by when its bucket is full, and forgets
// it unless it is back. It reports whether there was one.
func (t *sources) forget(now int64) bool {
	i := t.oldest
	if i == 0 || now-t.at(i).since < int64(time.Second) {
		return false
	}
	s := t.at(i)
	if t.oldest = s.next; t.oldest == 0 {
		t.newest = 0
	}
	s.queued = false
	switch {
	case s.sessions > 0: // it is queued again when they have left
	case now-s.bucket.Refilled() < int64(time.Second): // it has come in, or tried to, since then
		t.queue(i, now)
	default:
		t.remove(i)
	}
	return true
}
