package relay

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// BindSource binds a TCP socket to the route's source address, if there is one. An error is a fault of this machine
// (target.Local).
func (r *Route) BindSource(fd int, to netip.Addr) error {
	from := r.SourceAddress
	if !from.IsValid() {
		return nil
	}
	err := error(unix.EADDRNOTAVAIL)
	if from.Is4() == to.Unmap().Is4() {
		err = linux.BindSource(fd, from)
	}
	if err != nil {
		return &sourceError{from, err}
	}
	return nil
}

// sourceError says that a socket cannot be bound to a source address.
type sourceError struct {
	from netip.Addr
	err  error
}

func (e *sourceError) Error() string { return fmt.Sprintf("from %v: %v", e.from, e.err) }

// Is makes it the error of an address that this machine does not have, whatever the kernel's error is.
func (e *sourceError) Is(other error) bool { return other == unix.EADDRNOTAVAIL }
