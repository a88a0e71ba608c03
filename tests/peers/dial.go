package peers

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/tests/harness"
)

// An Option sets an option of a socket before its connect.
type Option func(fd int) error

// Window limits the receive buffer of the socket to about n bytes: SO_RCVBUF.
func Window(n int) Option {
	return func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n) }
}

// Segments limits the size of TCP segments in both directions (tcp(7): TCP_MAXSEG).
func Segments(n int) Option {
	return func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, n) }
}

// Bound takes the socket's port at that local address before it connects, and writes it to name: so the address of a client
// is known even if it is reset before its connect has returned. Dial is to be given no address then.
func Bound(from string, name *string) Option {
	return func(fd int) error {
		address := &unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(from).To4())}
		if err := unix.Bind(fd, address); err != nil {
			return err
		}
		bound, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		*name = net.JoinHostPort(from, strconv.Itoa(bound.(*unix.SockaddrInet4).Port))
		return nil
	}
}

// Dial connects to "host:port", from that local address if it is given, or to "unix:PATH", where options do not count. The connection
// has a deadline.
func Dial(from, to string, options ...Option) (net.Conn, error) {
	dialer := net.Dialer{Timeout: harness.Timeout}
	network := "tcp"
	if path, ok := strings.CutPrefix(to, "unix:"); ok {
		network, to, options = "unix", path, nil
	} else if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		// The kernel is to take a port that is free for this peer alone (ip(7)), or a long run is out of ports.
		options = append(options, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		})
	}
	dialer.Control = func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			for _, option := range options {
				failed = errors.Join(failed, option(int(fd)))
			}
		})
		return errors.Join(err, failed)
	}
	c, err := dialer.Dial(network, to)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(harness.Timeout))
}

// Name returns the address of a client as records have it.
func Name(c net.Conn) string {
	if isTCP(c) {
		return c.LocalAddr().String()
	}
	return "unix:"
}
