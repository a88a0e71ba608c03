package relay

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// BindSource has a TCP socket connect from the route's source address, if it has one. An error is one of this machine
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

// sourceError is that a source address cannot be had.
type sourceError struct {
	from netip.Addr
	err  error
}

func (e *sourceError) Error() string { return fmt.Sprintf("from %v: %v", e.from, e.err) }

// Is has it be the error of an address that is not here, whatever the kernel says of it.
func (e *sourceError) Is(other error) bool { return other == unix.EADDRNOTAVAIL }
