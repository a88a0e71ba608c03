package iocopy

import (
	"net"
	"net/netip"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// admit finds out who the client is and whether it may come in. It reports false if the session has ended.
func (r *runner) admit() bool {
	action := r.withClient(func(s *session.Session, peer netip.AddrPort, fd int) session.Action {
		return s.OnAccept(peer, r.client.unix, fd)
	})
	if action == session.ReadHeader {
		action = r.readProxyHeader()
	}
	if action == session.Recount {
		r.engine.endings.await(r.route.App, r.ctx.Done())
		action = r.decide(func(s *session.Session, _ int64) session.Action { return s.OnRecount() })
	}
	if action != session.Connect {
		return false
	}
	r.count()
	return true
}

// checkCircle looks again whether the client is the proxy itself. A connect of this engine is reported when Go has its
// connection, which is a little after the kernel has, and another session may have accepted it in between. It reports
// false if the session has ended.
func (r *runner) checkCircle() bool {
	return r.withClient((*session.Session).CheckCircle) != session.Abort
}

// withClient is decide for an event of the client's connection.
func (r *runner) withClient(event func(s *session.Session, peer netip.AddrPort, fd int) session.Action) session.Action {
	return r.decide(func(s *session.Session, _ int64) (action session.Action) {
		action = session.Abort
		_ = r.client.raw.Control(func(fd uintptr) { // or the session has ended: its connection is closed
			action = event(s, addressOf(r.client.RemoteAddr()), int(fd))
		})
		return action
	})
}

// count makes the session, which was admitted, one that others look at whom it may be in the way of.
func (r *runner) count() {
	if !r.route.Gate.Counts() {
		return
	}
	e := r.engine.endings.add(r.route.App)
	r.engine.endings.register(e, ofClient, r.client.raw)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = e
	if r.settled {
		r.engine.endings.over(e)
	}
}

// readProxyHeader takes the client's PROXY header, and nothing of what comes behind it.
func (r *runner) readProxyHeader() session.Action {
	const ordinary = 256 // bytes: most headers are shorter
	buffer, kept := make([]byte, ordinary), []byte(nil)
	var header []byte
	var headerErr error
	err := r.client.raw.Read(func(fd uintptr) bool {
		header, headerErr = relay.TakeHeader(int(fd), buffer, &kept)
		return header != nil || headerErr != nil
	})
	if err != nil { // the session has ended: its connection is closed
		return session.Abort
	}
	r.client.header = int64(len(header))
	broken := headerErr != nil && linux.Broken(r.client.raw)
	return r.decide(func(s *session.Session, _ int64) session.Action { return s.OnHeader(header, headerErr, broken) })
}

// sendProxyHeader sends the target the PROXY header, in one write and before anything else. It reports false if the session
// has ended.
func (r *runner) sendProxyHeader() bool {
	header, err := r.session.AppendTargetHeader(nil, func() (proxyproto.Header, error) {
		c := r.client
		return proxyproto.Header{Source: addressOf(c.RemoteAddr()), Destination: addressOf(c.LocalAddr()), Local: c.unix}, nil
	})
	n := 0
	if err == nil {
		r.mu.Lock()
		r.target.own += int64(len(header))
		r.mu.Unlock()
		n, err = r.target.Write(header)
	}
	broken := err != nil && linux.Broken(r.target.raw)
	return session.Relay == r.decide(func(s *session.Session, _ int64) session.Action {
		return s.OnHeaderSent(n, len(header), err, broken)
	})
}

// addressOf gives a TCP address, as it was when the connection was accepted; that of a unix socket is not valid, nor one
// that the kernel has not reported.
func addressOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	addr := tcp.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}
