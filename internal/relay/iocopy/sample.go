package iocopy

import "tcp-proxy/internal/linux"

// settle notes how many bytes a pump that has ended wrote to a side.
func (r *runner) settle(to *side, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to.pumped, to.taken = true, n
}

// sample has the route's meter know what the session has moved.
func (r *runner) sample() {
	m := r.route.Meter
	if m == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.target == nil {
		return
	}
	m.Uploaded(0, r.target.news(r.client))
	m.Downloaded(0, r.client.news(r.target))
}

// news is how many bytes were written to the side since it was last asked. The caller holds the session's mu.
func (x *side) news(from *side) int64 {
	n := max(0, x.written(from)-x.metered)
	x.metered += n
	return n
}

// written is how many bytes were written to the side so far. While io.Copy writes them, the kernel tells: what TCP has
// seen acknowledged; what goes from TCP to a unix socket is taken to be written once it is read, a pipe ahead of that;
// between two unix sockets the session counts itself.
func (x *side) written(from *side) int64 {
	switch {
	case x.pumped:
		return x.taken
	case !x.unix:
		return linux.Acknowledged(x.raw) - x.own
	case !from.unix:
		return linux.Fetched(from.raw) - from.header
	}
	return x.noted.Load()
}
