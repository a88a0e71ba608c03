package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Inotify is an instance of inotify(7). Close may be called from any goroutine, the other methods from one at a time.
type Inotify struct {
	file   *os.File
	buffer [16 << 10]byte
}

// NewInotify returns an instance without watches. The caller must Close it.
func NewInotify() (*Inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &Inotify{file: os.NewFile(uintptr(fd), "inotify")}, nil
}

// Close closes the instance. A waiting call of Events returns os.ErrClosed.
func (n *Inotify) Close() error { return n.file.Close() }

// Add watches a file or directory for the events in a mask of IN_ constants, and returns the number of the watch. If the
// file is already watched, by whatever path, it keeps its number and its mask is replaced.
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

// Remove removes a watch. It is no error if the kernel has removed it because the file is gone.
func (n *Inotify) Remove(watch int) error {
	return Control(n.file, func(fd int) error {
		if _, err := unix.InotifyRmWatch(fd, uint32(watch)); err != nil && err != unix.EINVAL {
			return os.NewSyscallError("inotify_rm_watch", err)
		}
		return nil
	})
}

// Events waits for events and calls each for every event. The name is that of an entry of a watched directory, or "". After
// the deadline, unless it is zero, it returns os.ErrDeadlineExceeded, even if there are events.
func (n *Inotify) Events(deadline time.Time, each func(watch int, mask uint32, name string)) error {
	if n.file.SetReadDeadline(deadline) != nil {
		return os.ErrClosed // the only possible error of a pollable descriptor
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
