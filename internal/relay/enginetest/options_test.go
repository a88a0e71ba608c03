package enginetest

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// The proxy's sockets of a session do not hold back small writes, have urgent data in line, and have the keepalive of
// their app, or none: the client's and the target's.
func TestSocketOptions(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, k := range []linux.Keepalive{
			{Enabled: true, Idle: 1000 * time.Second, Interval: 70 * time.Second, Count: 3},
			{Enabled: true, Idle: 2000 * time.Second, Interval: 80 * time.Second, Count: 5},
			{},
		} {
			t.Run(fmt.Sprint(k.Enabled, k.Idle), func(t *testing.T) {
				r := newRig(t, e, "tcp", "tcp", func(r *relay.Route) { r.Keepalive = k })
				// Clients have theirs from the listener, which is given it when the port is opened or its app changes.
				if err := r.engine.Control(r.port, func(fd int) error { return linux.SetKeepalive(fd, k) }); err != nil {
					t.Fatal(err)
				}
				// The first ones after a port is opened are each given all that others inherit.
				for range runtime.NumCPU() + 1 {
					r.finish(r.session())
				}
				client, server := r.session()
				for range 2 { // a first write has nothing to wait for
					r.exchange(client, server, 10)
					r.exchange(server, client, 10)
				}
				r.expectSocket("client", client, k)
				r.expectSocket("target", server, k)
				r.finish(client, server)
			})
		}
	})
}

// expectSocket wants options of the proxy's socket at the other end of a connection, within the time that an engine may
// take for those that a short session does not need.
func (r *rig) expectSocket(which string, peer stream, k linux.Keepalive) {
	r.Helper()
	fd := r.proxySocket(peer)
	want := map[string]int{"TCP_NODELAY": 1, "SO_OOBINLINE": 1, "SO_KEEPALIVE": 0}
	if k.Enabled {
		want["SO_KEEPALIVE"] = 1
		want["TCP_KEEPIDLE"], want["TCP_KEEPINTVL"], want["TCP_KEEPCNT"] = int(k.Idle.Seconds()), int(k.Interval.Seconds()), k.Count
	}
	for name, value := range want {
		testkit.EventuallyEqual(r.T, fmt.Sprintf("%s of the %s's socket", name, which), func() int {
			o := options[name]
			got, err := unix.GetsockoptInt(fd, o.level, o.name)
			if err != nil {
				r.Fatal(err)
			}
			return got
		}, value)
	}
}

var options = map[string]struct{ level, name int }{
	"TCP_NODELAY":   {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	"SO_OOBINLINE":  {unix.SOL_SOCKET, unix.SO_OOBINLINE},
	"SO_KEEPALIVE":  {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	"TCP_KEEPIDLE":  {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	"TCP_KEEPINTVL": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	"TCP_KEEPCNT":   {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
}

// proxySocket is the descriptor of the other end of a TCP connection over IPv4, which the engine has in this process.
func (r *rig) proxySocket(peer stream) (fd int) {
	r.Helper()
	local, remote := addrPort(peer.RemoteAddr()), addrPort(peer.LocalAddr())
	for _, d := range testkit.OpenDescriptors(r.T, "socket") {
		own, err := unix.Getsockname(d.Number)
		if in, ok := own.(*unix.SockaddrInet4); err != nil || !ok || uint16(in.Port) != local.Port() || in.Addr != local.Addr().As4() {
			continue
		}
		other, err := unix.Getpeername(d.Number)
		if in, ok := other.(*unix.SockaddrInet4); err == nil && ok && uint16(in.Port) == remote.Port() && in.Addr == remote.Addr().As4() {
			return d.Number
		}
	}
	r.Fatalf("the proxy's socket from %v to %v is not found", local, remote)
	return 0
}
