// Package listen makes listening sockets, for the ports of apps and for the addresses of the admin API. It plans the change
// from the open sockets to those of a new configuration, so that no client is refused at an address that both have. It does
// not accept connections.
package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
)

// Options are the options of new sockets.
type Options struct {
	Mode      fs.FileMode   // of a unix socket; 0: 0777 without the bits of the umask
	KeepAlive time.Duration // as in net.ListenConfig
}

// open makes the listening socket of a port. With shared it sets SO_REUSEPORT, so that the socket can listen beside others
// that have this option too (socket(7)).
func (o Options) open(port config.Port, shared bool) (net.Listener, error) {
	if port.Network == "unix" {
		return linux.ListenUnix(port.Path, o.Mode)
	}
	lc := net.ListenConfig{KeepAlive: o.KeepAlive}
	lc.SetMultipathTCP(false)
	if shared {
		lc.Control = func(_, _ string, c syscall.RawConn) error {
			var optErr error
			err := c.Control(func(fd uintptr) { optErr = linux.SetReusePort(int(fd)) })
			return errors.Join(err, optErr)
		}
	}
	network, address := "tcp", fmt.Sprintf(":%d", port.Addr.Port())
	if addr := port.Addr.Addr(); addr.IsValid() {
		address = port.Addr.String()
		if addr.Is4() {
			network = "tcp4" // with "tcp", package net listens on [::] for 0.0.0.0
		}
	}
	l, err := lc.Listen(context.Background(), network, address)
	return l, explain(bare(err), port.Addr.Port())
}

// explain adds to EACCES which capability a privileged port needs.
func explain(err error, port uint16) error {
	if !errors.Is(err, unix.EACCES) {
		return err
	}
	if first := linux.FirstUnprivilegedPort(); port < first {
		return fmt.Errorf("%w: a port below %d needs the capability CAP_NET_BIND_SERVICE", err, first)
	}
	return err
}

// bare returns the error of the system without the text of package net around it. The caller adds the address.
func bare(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// Failure is a port that cannot be listened on.
type Failure struct {
	Index int // of the port in Wanted.Ports
	Port  config.Port
	Err   error
}

// Failures is the error of Prepare if some ports cannot be listened on.
type Failures []Failure

func (f Failures) Error() string {
	return fmt.Sprintf("listen on %s: %v", f[0].Port, f[0].Err)
}

// nameHolders adds to each EADDRINUSE the process that holds the address. It looks for all of them in one pass.
func (f Failures) nameHolders() {
	var which []int
	var at []netip.AddrPort
	for i, x := range f {
		if x.Port.Network == "tcp" && errors.Is(x.Err, unix.EADDRINUSE) {
			which, at = append(which, i), append(at, x.Port.Addr)
		}
	}
	if len(at) == 0 {
		return
	}
	for i, holder := range linux.Holders(at) {
		if x := &f[which[i]]; holder != "" {
			x.Err = fmt.Errorf("%w (by %s)", x.Err, holder)
		}
	}
}
