package loop

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Only a client of a unix socket has no address: what the kernel has not told is not taken for one.
func TestPeerThatIsNotTold(t *testing.T) {
	for family, want := range map[uint16]bool{unix.AF_INET: true, unix.AF_INET6: true, unix.AF_UNIX: true, unix.AF_UNSPEC: false} {
		var s sessionHot
		known := s.setPeer(&unix.RawSockaddrAny{Addr: unix.RawSockaddr{Family: family}})
		if known != want {
			t.Errorf("family %d: known is %v", family, known)
		}
		if got := s.side[client].mark.has(isUnix); got != (family == unix.AF_UNIX) {
			t.Errorf("family %d: a unix socket is %v", family, got)
		}
	}
}
