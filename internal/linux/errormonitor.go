package linux

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrorMonitor calls back when a socket gets an error, because its peer reset it or the kernel gave up the connection, and
// when urgent data arrives, at which splice(2) stops. It works for sockets that nobody reads or writes, where package net
// does not notice errors. It is one epoll instance (epoll(7)) that registers sockets for EPOLLPRI only, so that it wakes up
// for nothing but EPOLLPRI and EPOLLERR.
type ErrorMonitor struct {
	epoll *os.File
	conn  syscall.RawConn
	done  chan struct{}

	mu         sync.Mutex // guards the fields below
	registered map[uint64]registration
	last       uint64
}

// registration is a monitored socket with its callbacks.
type registration struct {
	conn           syscall.RawConn
	broken, urgent func()
}

// NewErrorMonitor starts the monitor and its goroutine. The caller must Close it.
func NewErrorMonitor() (*ErrorMonitor, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // required by the runtime poller
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	m := &ErrorMonitor{epoll: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{}), registered: map[uint64]registration{}}
	if m.conn, err = m.epoll.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch sockets for errors: %m", err), m.epoll.Close())
	}
	go m.run()
	return m, nil
}

// Add monitors conn until it is closed or remove is called. broken and urgent are called at most once each, on the
// goroutine of the monitor; they must not block, and may still run when remove returns. The caller must call remove.
func (m *ErrorMonitor) Add(conn syscall.RawConn, broken, urgent func()) (remove func(), err error) {
	m.mu.Lock()
	m.last++
	id := m.last
	m.registered[id] = registration{conn, broken, urgent}
	m.mu.Unlock()
	remove = func() {
		m.mu.Lock()
		delete(m.registered, id)
		m.mu.Unlock()
	}

	if err := m.register(unix.EPOLL_CTL_ADD, conn, unix.EPOLLPRI, id); err != nil {
		remove()
		return nil, fmt.Errorf("watch socket for errors: %m", err)
	}
	return remove, nil
}

// register registers a socket for one event.
func (m *ErrorMonitor) register(op int, conn syscall.RawConn, events uint32, id uint64) error {
	event := unix.EpollEvent{Events: events | unix.EPOLLONESHOT | unix.EPOLLET, Fd: int32(id), Pad: int32(id >> 32)}
	var ctlErr error
	err := conn.Control(func(fd uintptr) {
		ctlErr = m.control(func(epoll int) error { return unix.EpollCtl(epoll, op, int(fd), &event) })
	})
	return errors.Join(err, ctlErr)
}

// Close stops the goroutine and waits until it has ended.
func (m *ErrorMonitor) Close() error {
	err := m.epoll.Close()
	<-m.done
	return err
}

func (m *ErrorMonitor) control(f func(epoll int) error) error {
	var ctlErr error
	if err := m.conn.Control(func(fd uintptr) { ctlErr = f(int(fd)) }); err != nil {
		return err
	}
	return ctlErr
}

func (m *ErrorMonitor) run() {
	defer close(m.done)
	events := make([]unix.EpollEvent, 64)
	for {
		var n int
		var waitErr error
		err := m.conn.Read(func(fd uintptr) bool {
			n, waitErr = unix.EpollWait(int(fd), events, 0)
			return n > 0 || (waitErr != nil && !errors.Is(waitErr, unix.EINTR))
		})
		if err != nil || waitErr != nil {
			return // closed; epoll_wait(2) has no other error here
		}
		for _, e := range events[:n] {
			m.dispatch(e)
		}
	}
}

// dispatch calls the callback for an event. EPOLLHUP alone is not an error: both directions were shut down in order.
func (m *ErrorMonitor) dispatch(e unix.EpollEvent) {
	id := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
	m.mu.Lock()
	x, ok := m.registered[id]
	m.mu.Unlock()
	switch {
	case !ok:
	case e.Events&unix.EPOLLERR != 0:
		x.broken()
	case e.Events&unix.EPOLLPRI != 0:
		_ = m.register(unix.EPOLL_CTL_MOD, x.conn, 0, id) // fails only after conn was closed
		x.urgent()
	}
}
