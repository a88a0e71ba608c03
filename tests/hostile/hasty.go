package hostile

import (
	"errors"
	"net"
	"syscall"
	"time"

	"tcp-proxy/tests/peers"
)

// Clients that leave before they are served. They break a proxy that ignores errors of system calls after accept, or that
// does not release a half-established session.

// connectAndClose finishes at once.
func connectAndClose(v *visit) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return v.unlessRefused(err)
	}
	c.Close()
	return v.truth(peers.UpTo(0), peers.UpTo(0), "client_closed"), nil
}

// connectAndReset resets at once: the accepted socket has no peer any more (getpeername(2) fails with ENOTCONN).
func connectAndReset(v *visit) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return v.unlessRefused(err)
	}
	abort(c)
	return v.truth(peers.UpTo(0), peers.UpTo(0), v.gone()...), nil
}

// sendAndReset sends bytes and resets: a target that receives the bytes must know the client that sent them.
func sendAndReset(v *visit) (peers.Truth, error) {
	c, sent, err := v.begin(v.noise(1 + v.random.IntN(2000)))
	if c == nil {
		return v.unlessRefused(err)
	}
	abort(c)
	// A target sends nothing to who has not greeted it.
	return v.truth(peers.UpTo(sent), peers.UpTo(0), v.gone()...), v.unlessGone(err)
}

// sendAndClose closes while an answer is on its way, so that its kernel sends a reset (RFC 2525, section 2.17).
func sendAndClose(v *visit) (peers.Truth, error) {
	c, sent, err := v.begin(append(peers.Greeting(peers.Echo, 0), v.noise(1+v.random.IntN(20_000))...))
	if c == nil {
		return v.unlessRefused(err)
	}
	if v.random.IntN(2) == 0 {
		_, _ = c.Read(make([]byte, 1)) // so that some of the answer is there
	}
	c.Close()
	return v.truth(peers.UpTo(sent), peers.UpTo(sent), append(v.gone(), "client_closed")...), v.unlessGone(err)
}

// finishAndReset finishes, and then resets while the target may still be sending.
func finishAndReset(v *visit) (peers.Truth, error) {
	c, sent, err := v.begin(append(peers.Greeting(peers.Echo, 0), v.noise(1+v.random.IntN(20_000))...))
	if c == nil {
		return v.unlessRefused(err)
	}
	if err == nil {
		err = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	time.Sleep(time.Duration(v.random.IntN(3)) * time.Millisecond)
	abort(c)
	return v.truth(peers.UpTo(sent), peers.UpTo(sent), append(v.gone(), "client_closed", "target_closed")...), v.unlessGone(err)
}

// gone is the possible causes of a session whose client resets.
func (v *visit) gone() []string {
	causes := []string{"client_reset"}
	if v.unix {
		causes = append(causes, "client_closed", "target_closed") // a unix socket is closed, and the target may have finished first
	}
	return causes
}

// truth is the expected record of this client. If there are limits, it may be refused; if a header is required, it may be
// missing.
func (v *visit) truth(up, down peers.Range, causes ...string) peers.Truth {
	if v.limited {
		causes = append(causes, "limited")
	}
	if v.header {
		causes = append(causes, "proxy_header")
	}
	if v.strict {
		causes = append(causes, "max_duration", "idle_timeout", "half_close_timeout") // on a machine that stands still
	}
	if v.rough {
		down[1] = 1 << 30 // its targets send what they like
		causes = append(causes, "connect_failed", "target_reset", "target_closed", "client_closed", "client_reset")
	}
	t := peers.Truth{App: v.name, Up: up, Down: down, Causes: causes}
	if v.peer != "" {
		t.Peer, t.Clients = v.peer, []string{v.client}
		if !v.unix {
			t.Clients = append(t.Clients, v.peer) // a reset overtakes the header; over a unix socket nothing is lost
		}
	}
	return t
}

// unlessRefused is the truth of a client that was reset before its connect had returned. Every other client must be
// accepted.
func (v *visit) unlessRefused(err error) (peers.Truth, error) {
	if v.early() && isReset(err) {
		return v.truth(peers.UpTo(0), peers.UpTo(1<<30)), nil
	}
	return peers.Truth{}, err
}

// unlessGone returns nil for the error of a write to a peer that has closed, otherwise the error.
func (v *visit) unlessGone(err error) error {
	if isReset(err) {
		return nil
	}
	return err
}

// noise is random bytes.
func (v *visit) noise(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(v.random.Uint32())
	}
	return data
}

func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it fails on a closed one only
	}
	c.Close()
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
