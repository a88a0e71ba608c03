package linux

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Waker wakes an epoll instance that has it edge-triggered (eventfd(2)): every Wake is an event. Nobody has to read it.
type Waker struct{ fd int }

// NewWaker makes a waker, which Close gives back.
func NewWaker() (*Waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &Waker{fd: fd}, nil
}

// FD is the descriptor to register.
func (w *Waker) FD() int { return w.fd }

// Wake makes an event. It may be called from any goroutine.
func (w *Waker) Wake() {
	one := uint64(1)
	unix.RawSyscall(unix.SYS_WRITE, uintptr(w.fd), uintptr(unsafe.Pointer(&one)), 8)
}

// Close gives the waker back.
func (w *Waker) Close() error { return os.NewSyscallError("close", unix.Close(w.fd)) }
