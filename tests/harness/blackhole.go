package harness

import (
	"errors"
	"net"
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

// BlackholeAt is Blackhole on that address of IPv4.
func (r *Rig) BlackholeAt(address string) {
	r.T.Helper()
	host, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		r.T.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: host.Port, Addr: [4]byte(host.IP.To4())}); err != nil {
		r.T.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		r.T.Fatal(err)
	}
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
}
