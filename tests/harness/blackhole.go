package harness

import (
	"errors"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Blackhole starts a target to which a connect neither succeeds nor fails: its queue of connections is full, so the
// kernel drops every further SYN (listen(2), tcp(7)).
func (r *Rig) Blackhole() string {
	r.T.Helper()
	address := r.Address()
	r.BlackholeAt(address)
	return address
}

// BlackholeAt is Blackhole on that address; the kernel chooses the port 0. It returns the port.
func (r *Rig) BlackholeAt(address string) (port string) {
	r.T.Helper()
	host, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		r.T.Fatal(err)
	}
	family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: host.Port, Addr: [16]byte(host.IP.To16())})
	if ip := host.IP.To4(); ip != nil {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Port: host.Port, Addr: [4]byte(ip)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, at); err != nil {
		r.T.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		r.T.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		r.T.Fatal(err)
	}
	switch bound := bound.(type) {
	case *unix.SockaddrInet4:
		port = strconv.Itoa(bound.Port)
	case *unix.SockaddrInet6:
		port = strconv.Itoa(bound.Port)
	}
	address = net.JoinHostPort(host.IP.String(), port)
	// The queue is full when two connects in a row hang.
	for hung := 0; hung < 2; {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		var netErr net.Error
		switch {
		case err == nil:
			r.T.Cleanup(func() { c.Close() })
			hung = 0
		case errors.As(err, &netErr) && netErr.Timeout():
			hung++
		default:
			r.T.Fatal(err)
		}
	}
	return port
}
