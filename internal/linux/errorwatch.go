package linux

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrorWatch calls back when a socket gets an error: its peer reset it, or the kernel gave it up. It sees this on a
// socket that nobody reads or writes, which package net does not. It is one epoll instance (epoll(7)) that asks for
// no events, so that only EPOLLERR comes, and costs nothing while nothing breaks.
type ErrorWatch struct {
	epoll *os.File
	conn  syscall.RawConn
	done  chan struct{}

	mu    sync.Mutex // guards what follows
	calls map[uint64]func()
	last  uint64
}

// NewErrorWatch starts a watch and its goroutine, which Close ends.
func NewErrorWatch() (*ErrorWatch, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // makes the runtime poll it
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	w := &ErrorWatch{epoll: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{}), calls: map[uint64]func(){}}
	if w.conn, err = w.epoll.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch sockets for errors: %w", err), w.epoll.Close())
	}
	go w.run()
	return w, nil
}

// Add watches conn until it is closed or forget is called. broken is called at most once, on the watch's goroutine,
// and must not block; it may still run while forget returns. Every Add needs a forget.
func (w *ErrorWatch) Add(conn syscall.RawConn, broken func()) (forget func(), err error) {
	w.mu.Lock()
	w.last++
	id := w.last
	w.calls[id] = broken
	w.mu.Unlock()
	forget = func() {
		w.mu.Lock()
		delete(w.calls, id)
		w.mu.Unlock()
	}

	event := unix.EpollEvent{Events: unix.EPOLLONESHOT | unix.EPOLLET, Fd: int32(id), Pad: int32(id >> 32)}
	var addErr error
	err = conn.Control(func(fd uintptr) {
		addErr = w.control(func(epoll int) error {
			return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(fd), &event)
		})
	})
	if err == nil {
		err = addErr
	}
	if err != nil {
		forget()
		return nil, fmt.Errorf("watch socket for errors: %w", err)
	}
	return forget, nil
}

// Close ends the watch and waits for its goroutine.
func (w *ErrorWatch) Close() error {
	err := w.epoll.Close()
	<-w.done
	return err
}

func (w *ErrorWatch) control(f func(epoll int) error) error {
	var ctlErr error
	if err := w.conn.Control(func(fd uintptr) { ctlErr = f(int(fd)) }); err != nil {
		return err
	}
	return ctlErr
}

func (w *ErrorWatch) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 64)
	for {
		var n int
		var waitErr error
		err := w.conn.Read(func(fd uintptr) bool {
			n, waitErr = unix.EpollWait(int(fd), events, 0)
			return n > 0 || (waitErr != nil && !errors.Is(waitErr, unix.EINTR))
		})
		if err != nil || waitErr != nil {
			return // closed: an epoll descriptor gives no other error here (epoll_wait(2))
		}
		for _, e := range events[:n] {
			w.dispatch(e)
		}
	}
}

// dispatch calls back for an error. EPOLLHUP alone is no error: both directions have been shut down in good order.
func (w *ErrorWatch) dispatch(e unix.EpollEvent) {
	id := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
	w.mu.Lock()
	broken := w.calls[id]
	w.mu.Unlock()
	if e.Events&unix.EPOLLERR != 0 && broken != nil {
		broken()
	}
}
