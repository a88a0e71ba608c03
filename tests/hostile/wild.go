package hostile

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/tests/peers"
)

// Clients that do unusual things in the middle of a stream.

// resetMidStream resets while both directions are full of bytes.
func resetMidStream(v *visit) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return v.unlessRefused(err)
	}
	defer abort(c)
	if err := v.enter(c); err != nil {
		return peers.Truth{}, err
	}
	order := []peers.Order{peers.Flood, peers.Echo, peers.Sink}[v.random.IntN(3)]
	data := append(peers.Greeting(order, 0), v.noise(1+v.random.IntN(60_000))...)
	_ = c.SetDeadline(time.Now().Add(50 * time.Millisecond)) // a flood does not read
	sent, err := c.Write(data)
	if err == nil {
		_, _ = io.CopyN(io.Discard, c, int64(v.random.IntN(200_000)))
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		err = nil
	}
	return v.truth(peers.UpTo(int64(sent)), peers.UpTo(1<<30), v.gone()...), v.unlessGone(err)
}

// urgent sends urgent data among the other (RFC 6093), the last of it just before the end: it stays in the stream, in its
// place. Unread at the end it would make a close a reset.
func urgent(v *visit) (peers.Truth, error) {
	c, sent, err := v.begin(peers.Greeting(peers.Echo, 0))
	if c == nil {
		return v.unlessRefused(err)
	}
	defer c.Close()
	for range v.random.IntN(6) {
		n := 1 + v.random.IntN(300)
		if err == nil {
			_, err = c.Write(v.noise(n))
		}
		if err == nil {
			err = outOfBand(c)
		}
		sent += int64(n) + 1
	}
	if err == nil {
		err = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	var back int64
	if err == nil {
		back, err = io.Copy(io.Discard, c)
	}
	if v.limited && isReset(err) {
		return v.truth(peers.UpTo(0), peers.UpTo(0), "limited"), nil
	}
	if err == nil && back != sent-16 {
		err = fmt.Errorf("%d bytes come back of %d", back, sent-16)
	}
	return v.truth(peers.Exactly(sent), peers.Exactly(sent-16), "client_closed"), err
}

// outOfBand sends one byte with MSG_OOB; on a unix socket that would not be part of the stream.
func outOfBand(c net.Conn) error {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Send(int(fd), []byte{'!'}, unix.MSG_OOB|unix.MSG_NOSIGNAL)
		return !errors.Is(sendErr, syscall.EAGAIN)
	})
	return errors.Join(err, sendErr)
}

// deaf shuts down its reading side and goes on sending: the kernel discards what arrives (shutdown(2)).
func deaf(v *visit) (peers.Truth, error) {
	c, sent, err := v.begin(peers.Greeting(peers.Sink, 0))
	if c == nil {
		return v.unlessRefused(err)
	}
	defer c.Close()
	if closer, ok := c.(interface{ CloseRead() error }); ok {
		_ = closer.CloseRead() // it fails if the connection is reset already
	}
	more := 0
	if err == nil {
		more, err = c.Write(v.noise(1 + v.random.IntN(50_000)))
	}
	if err == nil {
		err = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	return v.truth(peers.UpTo(sent+int64(more)), peers.UpTo(0), append(v.gone(), "client_closed")...), v.unlessGone(err)
}

// guest is an ordinary client of an app with hostile targets: any result is allowed, but the session must end soon.
func guest(v *visit) (peers.Truth, error) {
	c, sent, err := v.begin(append(peers.Greeting(peers.Echo, 0), v.noise(1+v.random.IntN(3000))...))
	if c == nil {
		return v.unlessRefused(err)
	}
	defer c.Close()
	if err == nil && v.random.IntN(2) == 0 {
		err = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	if err == nil {
		_, err = io.Copy(io.Discard, c)
	}
	if errors.Is(err, syscall.ENOTCONN) {
		err = nil // reset before it could finish
	}
	return v.truth(peers.UpTo(sent), peers.UpTo(1<<30)), v.unlessGone(err)
}
