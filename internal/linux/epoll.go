package linux

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Epoll is an epoll instance (epoll(7)). One goroutine may call Wait; Add, Modify and Remove may be called from any.
type Epoll struct {
	fd     int
	events [EpollBatch]unix.EpollEvent
}

// EpollBatch is the maximum number of events that Wait returns.
const EpollBatch = 256

// NewEpoll returns a new instance. The caller must Close it.
func NewEpoll() (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &Epoll{fd: fd}, nil
}

// Add registers fd for events; each will have data. Closing fd removes it, unless it has a duplicate.
func (e *Epoll) Add(fd int, events uint32, data uint64) error {
	return e.control(unix.EPOLL_CTL_ADD, fd, events, data)
}

// Modify changes the events that fd is registered for. A condition that already holds is reported again.
func (e *Epoll) Modify(fd int, events uint32, data uint64) error {
	return e.control(unix.EPOLL_CTL_MOD, fd, events, data)
}

// Remove unregisters fd.
func (e *Epoll) Remove(fd int) error { return e.control(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (e *Epoll) control(op, fd int, events uint32, data uint64) error {
	event := unix.EpollEvent{Events: events, Fd: int32(data), Pad: int32(data >> 32)}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(e.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&event)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// Wait returns the next events, or none after timeout milliseconds; 0 does not wait and -1 waits without a limit. The
// events are valid until the next Wait. Only if it may wait does it tell the scheduler that the thread blocks.
func (e *Epoll) Wait(timeout int) ([]unix.EpollEvent, error) {
	var n uintptr
	var errno syscall.Errno
	if timeout == 0 {
		n, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events)), EpollBatch, 0, 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events)), EpollBatch,
			uintptr(timeout), 0, 0)
	}
	switch errno {
	case 0:
		return e.events[:n], nil
	case unix.EINTR:
		return nil, nil
	}
	return nil, os.NewSyscallError("epoll_pwait", errno)
}

// EventData returns the data that was passed to Add or Modify.
func EventData(e *unix.EpollEvent) uint64 { return uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 }

// Close closes the instance.
func (e *Epoll) Close() error { return os.NewSyscallError("close", unix.Close(e.fd)) }
