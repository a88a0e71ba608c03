package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ListenUnix listens on a path. It replaces a socket there on which no process listens any more, and nothing else. A mode
// other than 0 is that of the socket, regardless of the umask; it is never wider, not even for a moment. Closing the
// listener removes the socket.
func ListenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	lc := net.ListenConfig{}
	if mode != 0 {
		// The socket file gets the mode of the bound socket, minus the umask.
		lc.Control = func(_, _ string, c syscall.RawConn) error {
			var chmodErr error
			err := c.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), uint32(mode.Perm())) })
			return errors.Join(err, chmodErr)
		}
	}
	l, err := lc.Listen(context.Background(), "unix", path)
	if errors.Is(err, unix.EADDRINUSE) {
		if err := clearAbandoned(path); err != nil {
			return nil, err
		}
		l, err = lc.Listen(context.Background(), "unix", path)
	}
	if err != nil {
		return nil, unwrap(err)
	}
	if mode != 0 {
		if err := os.Chmod(path, mode.Perm()); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// clearAbandoned removes a socket on which nobody listens.
func clearAbandoned(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file of that name, which is not a socket")
	case !abandoned(path):
		return unix.EADDRINUSE
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the socket left there: %w", err)
	}
	return nil
}

// abandoned reports whether nobody listens on a unix socket (connect(2): ECONNREFUSED).
func abandoned(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED)
}

// unwrap removes what package net adds to a system error.
func unwrap(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
