package resolve

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A server that did not answer is asked after the others until it answers, so that it does not cost every lookup a timeout.
// Once per retryInterval one question goes to it in its place in the file, because the operator chose the order.
const retryInterval = 30 * time.Second

// minWait is the shortest wait without an answer that counts against a server.
const minWait = 500 * time.Millisecond

// serverHealth remembers which servers did not answer the last time. It is safe for concurrent use.
type serverHealth struct {
	mu           sync.Mutex                   // guards the fields below
	unresponsive map[netip.AddrPort]time.Time // when to try the server in its place again
	rotation     int                          // counts questions, for the option rotate
}

// order returns the servers in the order in which to ask them.
func (h *serverHealth) order(c conf) []netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.unresponsive {
		if !slices.Contains(c.servers, s) {
			delete(h.unresponsive, s)
		}
	}
	first := 0
	if c.rotate {
		first = h.rotation % len(c.servers)
		h.rotation++
	}
	var good, unresponsive []netip.AddrPort
	now := time.Now()
	for i := range c.servers {
		s := c.servers[(first+i)%len(c.servers)]
		switch until, is := h.unresponsive[s]; {
		case !is:
			good = append(good, s)
		case now.Before(until):
			unresponsive = append(unresponsive, s)
		default:
			h.unresponsive[s] = now.Add(retryInterval)
			good = append(good, s)
		}
	}
	return append(good, unresponsive...)
}

// record takes the result of a question to a server.
func (h *serverHealth) record(server netip.AddrPort, err error) {
	var none *timeoutError
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, &none) && none.waited < minWait:
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || errors.Is(err, errMalformed) {
		delete(h.unresponsive, server)
		return
	}
	if h.unresponsive == nil {
		h.unresponsive = map[netip.AddrPort]time.Time{}
	}
	if _, is := h.unresponsive[server]; !is {
		h.unresponsive[server] = time.Now().Add(retryInterval)
	}
}
