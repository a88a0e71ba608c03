package resolve

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A server that did not answer is asked after the others, until it does: so one that is gone does not cost every lookup
// its time-out. Now and then one question goes to it first, for the order of the servers is the operator's.
const retryServer = 30 * time.Second

// worthCounting is how long one has to have waited for a server before its silence is held against it.
const worthCounting = 500 * time.Millisecond

// health is which servers did not answer when they were asked last. It is safe for concurrent use.
type health struct {
	mu     sync.Mutex                   // guards what follows
	silent map[netip.AddrPort]time.Time // until when they come last
	turn   int                          // of rotate
}

// order gives the servers in the order in which to ask them.
func (h *health) order(c conf) []netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.silent {
		if !slices.Contains(c.servers, s) {
			delete(h.silent, s)
		}
	}
	first := 0
	if c.rotate {
		first = h.turn % len(c.servers)
		h.turn++
	}
	var good, silent []netip.AddrPort
	now := time.Now()
	for i := range c.servers {
		s := c.servers[(first+i)%len(c.servers)]
		switch until, is := h.silent[s]; {
		case !is:
			good = append(good, s)
		case now.Before(until):
			silent = append(silent, s)
		default:
			h.silent[s] = now.Add(retryServer)
			good = append(good, s)
		}
	}
	return append(good, silent...)
}

// note takes what became of a question to a server.
func (h *health) note(server netip.AddrPort, err error) {
	var none *noAnswer
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, &none) && none.waited < worthCounting:
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || errors.Is(err, errMalformed) {
		delete(h.silent, server)
		return
	}
	if h.silent == nil {
		h.silent = map[netip.AddrPort]time.Time{}
	}
	if _, is := h.silent[server]; !is {
		h.silent[server] = time.Now().Add(retryServer)
	}
}
