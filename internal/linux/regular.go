package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// Unfit is the error for an existing file that is not a regular file of acceptable size.
type Unfit struct {
	Path string
	Why  string // follows the path in a sentence, such as "is a FIFO, not a regular file"
}

// Error returns the path, unchanged, and Why.
func (u *Unfit) Error() string { return u.Path + " " + u.Why }

// ReadRegular reads a regular file of at most limit bytes, without ever waiting for another process that writes to it. Any
// other file is an Unfit error and is not opened: open(2) of a device may have effects, and that of a FIFO blocks. The
// limit also holds for a file that grows while it is read, and for one whose size is unknown, as in proc(5).
func ReadRegular(path string, limit int) ([]byte, error) {
	var before unix.Stat_t
	if err := retryEINTR(func() error { return unix.Stat(path, &before) }); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := checkRegular(path, &before, limit); err != nil {
		return nil, err
	}
	fd := -1
	err := retryEINTR(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var opened unix.Stat_t // of the open file: the path may have been replaced since
	if err := retryEINTR(func() error { return unix.Fstat(fd, &opened) }); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if err := checkRegular(path, &opened, limit); err != nil {
		return nil, err
	}
	return readAll(fd, path, int(opened.Size), limit)
}

// readAll reads the rest of a file of about size bytes.
func readAll(fd int, path string, size, limit int) ([]byte, error) {
	const least = 512 // for files of unknown size, and for the read that finds the end
	data := make([]byte, 0, min(size, limit)+least)
	for {
		if len(data) > limit {
			return nil, tooLarge(path, limit)
		}
		data = slices.Grow(data, least)
		n := 0
		err := retryEINTR(func() (err error) {
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

// checkRegular returns an error if a file is not regular or too large.
func checkRegular(path string, stat *unix.Stat_t, limit int) error {
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
		kind = "something else" // such as an epoll instance, in /proc/PID/fd
	}
	return &Unfit{path, "is " + kind + ", not a regular file"}
}

func tooLarge(path string, limit int) error {
	if limit%(1<<20) == 0 {
		return &Unfit{path, fmt.Sprintf("is larger than %d MiB", limit>>20)}
	}
	return &Unfit{path, fmt.Sprintf("is larger than %d bytes", limit)}
}

// retryEINTR repeats a system call while signals interrupt it.
func retryEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
