package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// Unfit is the error for a file that is there, but is not what was asked for.
type Unfit struct {
	Path string
	Why  string // what follows the path in a sentence, such as "is a FIFO, not a regular file"
}

// Error gives the path as it is.
func (u *Unfit) Error() string { return u.Path + " " + u.Why }

// ReadRegular reads a file, and never waits for a process that writes to it. The file has to be a regular one of at most
// limit bytes, else the error is an Unfit: anything else is not even opened, since open(2) of a device may do something and
// that of a FIFO waits. The limit holds also for a file that grows while it is read, and for one that gives no size, as
// those in proc(5).
func ReadRegular(path string, limit int) ([]byte, error) {
	var before unix.Stat_t
	if err := retried(func() error { return unix.Stat(path, &before) }); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := regular(path, &before, limit); err != nil {
		return nil, err
	}
	fd := -1
	err := retried(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var opened unix.Stat_t // of what is open: another file may have taken the path
	if err := retried(func() error { return unix.Fstat(fd, &opened) }); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if err := regular(path, &opened, limit); err != nil {
		return nil, err
	}
	return readAll(fd, path, int(opened.Size), limit)
}

// readAll reads what is left of a file of about size bytes.
func readAll(fd int, path string, size, limit int) ([]byte, error) {
	const least = 512 // room for a read of a file that gives no size, and for the one that finds the end
	data := make([]byte, 0, min(size, limit)+least)
	for {
		if len(data) > limit {
			return nil, tooLarge(path, limit)
		}
		data = slices.Grow(data, least)
		n := 0
		err := retried(func() (err error) {
			n, err = unix.Read(fd, data[len(data):min(cap(data), limit+1)])
			return err
		})
		switch {
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return data, nil
		}
		data = data[:len(data)+n]
	}
}

// regular gives an error if a file is not a regular one, or too large.
func regular(path string, stat *unix.Stat_t, limit int) error {
	kind := ""
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if stat.Size > int64(limit) {
			return tooLarge(path, limit)
		}
		return nil
	case unix.S_IFDIR:
		kind = "a directory"
	case unix.S_IFIFO:
		kind = "a pipe or FIFO"
	case unix.S_IFSOCK:
		kind = "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		kind = "a device"
	default:
		kind = "something else" // an epoll instance or the like, in /proc/PID/fd
	}
	return &Unfit{path, "is " + kind + ", not a regular file"}
}

func tooLarge(path string, limit int) error {
	if limit%(1<<20) == 0 {
		return &Unfit{path, fmt.Sprintf("is larger than %d MiB", limit>>20)}
	}
	return &Unfit{path, fmt.Sprintf("is larger than %d bytes", limit)}
}

// retried calls a system call until no signal interrupts it.
func retried(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
