package hostile

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/tests/peers"
)

// Clients that stay and hold a worker for as long as possible. They connect to apps with short time-outs, which must end
// them with a reset.

// silent sends nothing.
func silent(v *visit) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return v.unlessRefused(err)
	}
	defer c.Close()
	return v.truth(peers.UpTo(0), peers.UpTo(0), "idle_timeout"), v.awaitReset(c)
}

// trickle sends a byte now and then, so that the idle time-out never expires: an hour is 200 ms here.
func trickle(v *visit) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return v.unlessRefused(err)
	}
	defer c.Close()
	data := append(peers.Greeting(peers.Sink, 0), v.noise(100)...)
	for i, b := range data {
		if _, err := c.Write([]byte{b}); err != nil {
			return v.truth(peers.UpTo(int64(i)), peers.UpTo(0), "max_duration"), v.unlessGone(err)
		}
		time.Sleep(quiet / 5) // being slow is the point
	}
	return peers.Truth{}, errors.New("an hour a byte, and nobody has ended it")
}

// neverRead requests more than all buffers hold and reads nothing: a zero window for ever.
func neverRead(v *visit) (peers.Truth, error) {
	c, err := v.dial(peers.Window(1024))
	if err != nil {
		return v.unlessRefused(err)
	}
	defer c.Close()
	if _, err = c.Write(peers.Greeting(peers.Flood, 0)); err != nil {
		return v.truth(peers.UpTo(0), peers.UpTo(0), "idle_timeout"), v.unlessGone(err)
	}
	if !peers.AwaitEnd(c) {
		err = errors.New("a client that never reads is not ended")
	}
	return v.truth(peers.UpTo(16), peers.UpTo(1<<30), "idle_timeout"), err
}

// sip reads a few bytes now and then through a tiny window, just enough not to be idle.
func sip(v *visit) (peers.Truth, error) {
	c, err := v.dial(peers.Window(1024))
	if err != nil {
		return v.unlessRefused(err)
	}
	defer c.Close()
	if _, err := c.Write(peers.Greeting(peers.Flood, 0)); err != nil {
		return peers.Truth{}, err
	}
	for buffer := make([]byte, 700); err == nil; time.Sleep(quiet / 10) {
		_, err = c.Read(buffer)
	}
	return v.truth(peers.UpTo(16), peers.UpTo(1<<30), "max_duration", "idle_timeout"), v.unlessGone(err)
}

// halfAndStay finishes, and waits for a target that does not.
func halfAndStay(v *visit) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return v.unlessRefused(err)
	}
	defer c.Close()
	if _, err = c.Write(peers.Greeting(peers.Hold, 0)); err == nil {
		err = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	if err == nil {
		err = v.awaitReset(c)
	}
	return v.truth(peers.UpTo(16), peers.UpTo(0), "half_close_timeout"), err
}

// vanish disappears as in a power cut: TCP_REPAIR closes a socket without sending anything. Without the privilege for that,
// it sends nothing.
func vanish(v *visit) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return v.unlessRefused(err)
	}
	defer c.Close()
	if _, err := c.Write(peers.Greeting(peers.Hold, 0)); err != nil {
		return peers.Truth{}, err
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err == nil {
		err = errors.Join(raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, 1) // or it is silent until its turn is over
		}))
	}
	time.Sleep(quiet / 10)
	return v.truth(peers.UpTo(16), peers.UpTo(0), "idle_timeout", "client_closed", "client_reset"), err
}

// awaitReset reads until the proxy ends the session, which must be by a reset: an end of stream would look like a complete
// answer.
func (v *visit) awaitReset(c net.Conn) error {
	switch _, err := io.Copy(io.Discard, c); {
	case isReset(err):
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("a quiet client is not ended")
	case err == nil && !v.unix:
		return errors.New("a quiet client gets a clean end")
	default:
		return err
	}
}
