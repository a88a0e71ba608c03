// Package listen makes listening sockets, and plans the way from the sockets that are open to those that a configuration
// asks for, so that no client is refused at an address that both have. It serves the ports of apps and the addresses of the
// admin API alike. It accepts nothing.
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

// Options are what new sockets are made with.
type Options struct {
	Mode      fs.FileMode   // of a unix socket; 0: what the umask leaves
	KeepAlive time.Duration // of connections that package net accepts: see net.ListenConfig
}

// open makes the listening socket of a port, with no options set but those of package net and, if it is shared,
// SO_REUSEPORT, which lets it listen beside other sockets that have it too.
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
			network = "tcp4" // package net would listen on every address of IPv6, too, for 0.0.0.0
		}
	}
	l, err := lc.Listen(context.Background(), network, address)
	return l, bare(err)
}

// bare takes away what package net wraps around an error of the system. The caller names the address itself.
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

// Failures are the error of a Prepare that could not listen on some ports.
type Failures []Failure

func (f Failures) Error() string {
	return fmt.Sprintf("listen on %s: %v", f[0].Port, f[0].Err)
}

// nameHolders adds the process that holds the address to the errors of addresses in use. It looks for all of them at once.
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
