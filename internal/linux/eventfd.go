package linux

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bell wakes an epoll instance that watches it edge-triggered (eventfd(2)): every ring is an event. Nobody has to read it.
type Bell struct{ fd int }

// NewBell makes a bell, which Close gives back.
func NewBell() (*Bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &Bell{fd: fd}, nil
}

// FD is the descriptor to watch.
func (b *Bell) FD() int { return b.fd }

// Ring makes an event. It may be called from any goroutine.
func (b *Bell) Ring() {
	one := uint64(1)
	unix.RawSyscall(unix.SYS_WRITE, uintptr(b.fd), uintptr(unsafe.Pointer(&one)), 8)
}

// Close gives the bell back.
func (b *Bell) Close() error { return os.NewSyscallError("close", unix.Close(b.fd)) }
