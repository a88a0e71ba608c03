package linux

import (
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a unix socket, with its credentials at the time of its connect.
type Peer struct {
	PID      int
	UID, GID uint32
	Groups   []uint32 // supplementary
}

// InGroup reports whether the peer is in a group.
func (p Peer) InGroup(gid uint32) bool { return p.GID == gid || slices.Contains(p.Groups, gid) }

// PeerOf returns the process at the other end of a connection over a unix socket (unix(7): SO_PEERCRED, SO_PEERGROUPS).
func PeerOf(conn any) (Peer, error) {
	var p Peer
	err := Control(conn, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return os.NewSyscallError("getsockopt SO_PEERCRED", err)
		}
		p.PID, p.UID, p.GID = int(cred.Pid), cred.Uid, cred.Gid
		p.Groups, err = peerGroups(fd)
		return err
	})
	if err != nil {
		return Peer{}, fmt.Errorf("get the credentials of the peer: %w", err)
	}
	return p, nil
}

// peerGroups returns the supplementary groups; there are at most 65,536 (getgroups(2)).
func peerGroups(fd int) ([]uint32, error) {
	const most = 65536
	for room := 64; ; room = most {
		groups := make([]uint32, room)
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno != unix.ERANGE || room == most:
			return nil, os.NewSyscallError("getsockopt SO_PEERGROUPS", errno)
		}
	}
}
