package hostile

import (
	"errors"
	"net"
	"syscall"
	"time"

	"tcp-proxy/tests/peers"
)

// Clients that are gone before anybody has served them. They break a proxy that asks a connection for something after
// accept and takes a failure for an answer, or forgets the half that it has set up.

// connectAndClose finishes at once.
func connectAndClose(v *visit) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return v.unlessRefused(err)
	}
	c.Close()
	return v.truth(peers.UpTo(0), peers.UpTo(0), "client_closed"), nil
}

// connectAndReset resets at once: what is accepted is a socket that has no peer any more (ENOTCONN of getpeername(2)).
func connectAndReset(v *visit) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return v.unlessRefused(err)
	}
	abort(c)
	return v.truth(peers.UpTo(0), peers.UpTo(0), v.gone()...), nil
}

// sendAndReset leaves bytes behind: they may reach a target, which has to be told of the client that sent them.
func sendAndReset(v *visit) (peers.Truth, error) {
	c, sent, err := v.begin(v.noise(1 + v.random.IntN(2000)))
	if c == nil {
		return v.unlessRefused(err)
	}
	abort(c)
	// A target sends nothing to who has not greeted it.
	return v.truth(peers.UpTo(sent), peers.UpTo(0), v.gone()...), v.unlessGone(err)
}

// sendAndClose closes with an answer on its way, so that its kernel resets (RFC 2525, section 2.17).
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

// finishAndReset finishes, and then resets while the target may still have something to say.
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

// gone is how the session of a client that resets may end.
func (v *visit) gone() []string {
	causes := []string{"client_reset"}
	if v.unix {
		causes = append(causes, "client_closed", "target_closed") // a unix socket is closed, and the target may have finished first
	}
	return causes
}

// truth is what the record of this client has to say; that it was refused is always an answer where there are limits, and
// so is that a header was not through.
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

// unlessRefused is the truth of a client that was reset before its connect had returned. Anybody else has to get in.
func (v *visit) unlessRefused(err error) (peers.Truth, error) {
	if v.early() && isReset(err) {
		return v.truth(peers.UpTo(0), peers.UpTo(1<<30)), nil
	}
	return peers.Truth{}, err
}

// unlessGone is nil for what a write says when the other end has given up.
func (v *visit) unlessGone(err error) error {
	if isReset(err) {
		return nil
	}
	return err
}

// noise is bytes that mean nothing to anybody.
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
