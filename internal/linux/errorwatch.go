package linux

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrorWatch calls back when a socket gets an error: its peer reset it, or the kernel gave it up; and when urgent data
// comes, which splice(2) does not go past. It sees this on a socket that nobody reads or writes, which package net does
// not. It is one epoll instance (epoll(7)) that asks for EPOLLPRI alone, so that only that and EPOLLERR come, and costs
// nothing while nothing happens.
type ErrorWatch struct {
	epoll *os.File
	conn  syscall.RawConn
	done  chan struct{}

	mu    sync.Mutex // guards what follows
	calls map[uint64]watched
	last  uint64
}

// watched is a socket, and what is called back for it.
type watched struct {
	conn           syscall.RawConn
	broken, urgent func()
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
	w := &ErrorWatch{epoll: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{}), calls: map[uint64]watched{}}
	if w.conn, err = w.epoll.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch sockets for errors: %w", err), w.epoll.Close())
	}
	go w.run()
	return w, nil
}

// Add watches conn until it is closed or forget is called. broken and urgent are called at most once each, on the
// watch's goroutine, and must not block; they may still run while forget returns. Every Add needs a forget.
func (w *ErrorWatch) Add(conn syscall.RawConn, broken, urgent func()) (forget func(), err error) {
	w.mu.Lock()
	w.last++
	id := w.last
	w.calls[id] = watched{conn, broken, urgent}
	w.mu.Unlock()
	forget = func() {
		w.mu.Lock()
		delete(w.calls, id)
		w.mu.Unlock()
	}

	if err := w.register(unix.EPOLL_CTL_ADD, conn, unix.EPOLLPRI, id); err != nil {
		forget()
		return nil, fmt.Errorf("watch socket for errors: %w", err)
	}
	return forget, nil
}

// register asks for one event.
func (w *ErrorWatch) register(op int, conn syscall.RawConn, events uint32, id uint64) error {
	event := unix.EpollEvent{Events: events | unix.EPOLLONESHOT | unix.EPOLLET, Fd: int32(id), Pad: int32(id >> 32)}
	var ctlErr error
	err := conn.Control(func(fd uintptr) {
		ctlErr = w.control(func(epoll int) error { return unix.EpollCtl(epoll, op, int(fd), &event) })
	})
	return errors.Join(err, ctlErr)
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

// dispatch calls back. EPOLLHUP alone is no error: both directions have been shut down in good order.
func (w *ErrorWatch) dispatch(e unix.EpollEvent) {
	id := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
	w.mu.Lock()
	x, ok := w.calls[id]
	w.mu.Unlock()
	switch {
	case !ok:
	case e.Events&unix.EPOLLERR != 0:
		x.broken()
	case e.Events&unix.EPOLLPRI != 0:
		_ = w.register(unix.EPOLL_CTL_MOD, x.conn, 0, id) // fails only if it is closed
		x.urgent()
	}
}
