package linux

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Waker wakes an epoll instance that has it registered edge-triggered (eventfd(2)): each Wake is an event. It need not be
// read.
type Waker struct{ fd int }

// NewWaker returns a waker. The caller must Close it.
func NewWaker() (*Waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &Waker{fd: fd}, nil
}

// FD returns the descriptor to register.
func (w *Waker) FD() int { return w.fd }

// Wake makes an event. It is safe for concurrent use.
func (w *Waker) Wake() {
	one := uint64(1)
	unix.RawSyscall(unix.SYS_WRITE, uintptr(w.fd), uintptr(unsafe.Pointer(&one)), 8)
}

// Close closes the descriptor.
func (w *Waker) Close() error { return os.NewSyscallError("close", unix.Close(w.fd)) }
