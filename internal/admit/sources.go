package admit

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"

	"tcp-proxy/internal/ratelimit"
)

// maxSources is how many sources have an entry of their own: more than config.Config allows workers, so that the sources of
// open clients alone never use them up. An entry takes about 110 bytes.
const maxSources = 1 << 20

// sharedEntries is how many entries there are for the sources that have none of their own.
const sharedEntries = 1024

// sources is a table with an entry for each source. The gate's lock guards it. Its blocks have no pointers, so the garbage
// collector skips them.
//
// An entry is removed when the last client of its source has left and its bucket is full again, at most a second after
// the last client was admitted. At most max sources have an entry of their own. Further sources share entries, each of
// which counts as one source; a seeded hash, which clients cannot predict, chooses the entry. So a flood of new sources
// takes nothing from those that have an entry, and the sources of the flood limit each other. Clients that are counted in
// a shared entry do not count against an entry of its own that their source gets later.
type sources struct {
	max    int
	seed   maphash.Seed
	index  map[key]int32
	blocks []*[blockSize]source // by number, blockSize in each; an entry never moves

	used int32 // the highest number in use so far; they begin with 1
	free int32 // the first of the list of free entries, linked by next; or 0

	oldest, newest int32 // the ends of the queue of entries to be removed, linked by next in the order of since; or 0
}

const blockSize = 1024

// source is an entry.
type source struct {
	key      key
	bucket   ratelimit.Bucket // zero without a rate per source
	sessions int32
	next     int32
	queued   bool  // in the queue of entries to be removed
	since    int64 // when it was queued
}

// key identifies a source, or a shared entry.
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

// enter counts a client of the source, or returns the reason why not. A limit of 0 is none.
func (t *sources) enter(k key, now int64, limit, rate int) Refusal {
	t.forget(now)
	t.forget(now) // two for each that enters, so that the queue gets shorter
	i, known := t.index[k]
	if !known && len(t.index) >= t.max {
		k = t.sharedKey(k)
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

// leave ends the count of a client.
func (t *sources) leave(k key, now int64) {
	i := t.index[k]
	if i == 0 || t.at(i).sessions == 0 { // it was counted while its source had no entry of its own
		i = t.index[t.sharedKey(k)]
	}
	if i == 0 {
		panic("admit: Leave without Enter")
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

// sharedKey returns the key of the entry that a source shares with others.
func (t *sources) sharedKey(k key) key {
	return key{maphash.Comparable(t.seed, k) % sharedEntries, shared}
}

// at returns the entry with a number.
func (t *sources) at(i int32) *source { return &t.blocks[i/blockSize][i%blockSize] }

func (t *sources) add(k key) int32 {
	i := t.free
	if i != 0 {
		t.free = t.at(i).next
	} else {
		t.used++
		i = t.used
		if int(i/blockSize) >= len(t.blocks) {
			t.blocks = append(t.blocks, new([blockSize]source))
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
	if len(t.index) == 0 && len(t.blocks) > 1 { // give back the memory that a flood took
		*t = newSources(t.max)
	}
}

// queue appends an entry without clients to the queue of entries to be removed.
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

// forget takes the oldest entry from the queue if that has been there for a second, by when its bucket is full, and removes
// it unless its source has been back. It reports whether there was one to take.
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
	case s.sessions > 0: // leave will queue it again
	case now-s.bucket.Refilled() < int64(time.Second): // a client has tried to enter since
		t.queue(i, now)
	default:
		t.remove(i)
	}
	return true
}
