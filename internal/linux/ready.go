package linux

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Ready waits until a listening socket has a connection, without accepting it. It holds one descriptor, a duplicate of the
// listener's.
type Ready struct {
	file *os.File
	conn syscall.RawConn
}

// NewReady returns a Ready for a listener of package net. The caller keeps the listener, and must Close the Ready.
func NewReady(l net.Listener) (*Ready, error) {
	filer, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("watch listener %s: %T has no descriptor", l.Addr(), l)
	}
	file, err := filer.File()
	if err != nil {
		return nil, fmt.Errorf("watch listener %s: %w", l.Addr(), err)
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch listener %s: %w", l.Addr(), err), file.Close())
	}
	return &Ready{file: file, conn: conn}, nil
}

// Wait blocks until there is a connection to accept. It returns an error only after Close.
func (r *Ready) Wait() error {
	var pending bool
	var pollErr error
	err := r.conn.Read(func(fd uintptr) bool {
		// The runtime waits for an edge, so ask for connections that came before it.
		pending, pollErr = readable(fd)
		return pending || pollErr != nil
	})
	if err == nil {
		err = pollErr
	}
	return err
}

// Now reports whether there is a connection to accept, without waiting. After Close it returns an error that wraps
// os.ErrClosed.
func (r *Ready) Now() (pending bool, err error) {
	var pollErr error
	err = r.conn.Control(func(fd uintptr) { pending, pollErr = readable(fd) })
	if err == nil {
		err = pollErr
	}
	return pending, err
}

func readable(fd uintptr) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return n > 0, err
		}
	}
}

// Close closes the descriptor and ends a Wait.
func (r *Ready) Close() error { return r.file.Close() }
