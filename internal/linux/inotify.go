package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Inotify is an instance of inotify(7). Close may be called from any goroutine; the rest is for one at a time.
type Inotify struct {
	file   *os.File
	buffer [16 << 10]byte
}

// NewInotify makes an instance that watches nothing, which Close gives back.
func NewInotify() (*Inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &Inotify{file: os.NewFile(uintptr(fd), "inotify")}, nil
}

// Close gives the instance back. A call of Events that waits returns os.ErrClosed.
func (n *Inotify) Close() error { return n.file.Close() }

// Add watches a file or directory for the events of a mask of IN_ constants, and gives the number of the watch. One that is
// watched already, by any path, keeps its number and has its mask replaced.
func (n *Inotify) Add(path string, mask uint32) (watch int, err error) {
	err = Control(n.file, func(fd int) error {
		watch, err = unix.InotifyAddWatch(fd, path, mask)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("watch %s: %w", path, err)
	}
	return watch, nil
}

// Remove ends a watch. One that the kernel has ended, since what it was on is gone, is no error.
func (n *Inotify) Remove(watch int) error {
	return Control(n.file, func(fd int) error {
		if _, err := unix.InotifyRmWatch(fd, uint32(watch)); err != nil && err != unix.EINVAL {
			return os.NewSyscallError("inotify_rm_watch", err)
		}
		return nil
	})
}

// Events waits for events, and calls each for every one that there is. The name is that of the entry of a directory, or
// "". After the deadline, if there is one, it returns os.ErrDeadlineExceeded, also when there are events.
func (n *Inotify) Events(deadline time.Time, each func(watch int, mask uint32, name string)) error {
	if n.file.SetReadDeadline(deadline) != nil {
		return os.ErrClosed // which the error does not say; there is no other for a descriptor that can be polled
	}
	size, err := n.file.Read(n.buffer[:])
	if err != nil {
		return err
	}
	for data := n.buffer[:size]; len(data) >= unix.SizeofInotifyEvent; {
		watch, mask := int32(binary.NativeEndian.Uint32(data)), binary.NativeEndian.Uint32(data[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(data[12:]))
		name, _, _ := bytes.Cut(data[unix.SizeofInotifyEvent:end], []byte{0})
		each(int(watch), mask, string(name))
		data = data[end:]
	}
	return nil
}
