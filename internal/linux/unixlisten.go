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

// ListenUnix listens on a path. A socket that is left there by a process that is gone is replaced; anything else is not.
// A mode other than 0 is that of the socket, whatever the umask is; it is never wider, not for a moment. Closing the
// listener takes the socket away.
func ListenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	lc := net.ListenConfig{}
	if mode != 0 {
		// The socket in the file system gets the mode of the one that is bound, without what the umask has.
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
		return nil, bare(err)
	}
	if mode != 0 {
		if err := os.Chmod(path, mode.Perm()); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// clearAbandoned removes a socket that nobody listens on.
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

// bare takes away what package net wraps around an error of the system.
func bare(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
