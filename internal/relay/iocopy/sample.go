package iocopy

import "tcp-proxy/internal/linux"

// settle records how many bytes a pump that has ended wrote to a side.
func (r *runner) settle(to *side, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to.pumped, to.taken = true, n
}

// sample counts what the session has relayed since the last call.
func (r *runner) sample() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.target == nil {
		return
	}
	r.session.AddBytes(0, r.target.unmetered(r.client), r.client.unmetered(r.target))
}

// unmetered is how many bytes were written to the side since the last call. The caller holds the session's mu.
func (x *side) unmetered(from *side) int64 {
	n := max(0, x.written(from)-x.metered)
	x.metered += n
	return n
}

// written is how many bytes were written to the side so far. While io.Copy writes, the kernel counts: for TCP, the
// bytes that were acknowledged; from TCP to a unix socket, the bytes that were read, which is up to a pipe too many. Between
// two unix sockets the session counts itself.
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
