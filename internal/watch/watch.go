// Package watch reports changes of a file: if it is written in place, is replaced by a rename, as editors do, or is reached
// through a symbolic link that is replaced, as in volumes of Kubernetes.
package watch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

const (
	retryAfter  = 5 * time.Second // the interval of reading a file if a part of its path cannot be watched
	mostWatches = 128             // of one file: the directories of its path, and the file
)

// directoryEvents are the events of a directory: changes of its entries and of their permissions. Writing to other files in it
// is not among them, so a busy directory costs little.
const directoryEvents = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ATTRIB |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// fileEvents are the events of the file itself, also if it is written by another path.
const fileEvents = unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_DONT_FOLLOW

// File watches a file, which need not exist.
type File struct {
	// Changed gets a value when the content has changed, and one at the start, since the file may have changed since it
	// was read. Its capacity is 1: several changes may be one value.
	Changed <-chan struct{}

	path    string
	limit   int // of the content, in bytes
	changed chan struct{}
	inotify *linux.Inotify
	done    chan struct{} // closed when run has returned

	// Only run uses what follows, once it is started.
	watches map[int][]string // the names to watch in each directory, by watch descriptor (inotify(7)); "" for the file
	known   sum              // of the content when it was read last
	add     func(path string, mask uint32) (watch int, err error)
	again   time.Duration // retryAfter
}

// sum is a checksum of the content, or of the error if it could not be read.
type sum [sha256.Size]byte

// Open watches a file until Close. It does not distinguish contents of more than limit bytes. While a part of the path cannot
// be watched, it reads the file from time to time instead. The error is that inotify(7) is not available.
func Open(path string, limit int) (*File, error) {
	inotify, err := linux.NewInotify()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	f := newFile(path, limit, inotify)
	f.start()
	return f, nil
}

func newFile(path string, limit int, inotify *linux.Inotify) *File {
	changed := make(chan struct{}, 1)
	return &File{Changed: changed, path: path, limit: limit, changed: changed, inotify: inotify, done: make(chan struct{}),
		add: inotify.Add, again: retryAfter}
}

func (f *File) start() {
	missing := f.follow()
	f.known = f.sum()
	f.notify()
	go f.run(missing)
}

// Close ends watching. After it, Changed gets no more values.
func (f *File) Close() error {
	err := f.inotify.Close()
	<-f.done
	return err
}

// run is the goroutine that reads the file after events of the file or of its path, and from time to time while a part of the
// path cannot be watched.
func (f *File) run(missing bool) {
	defer close(f.done)
	var look moment
	for {
		if missing {
			look.noLater(time.Now().Add(f.again))
		}
		err := f.inotify.Events(look.due, func(watch int, mask uint32, name string) {
			if f.matters(watch, mask, name) {
				look.happened(time.Now())
			}
		})
		switch {
		case err == nil:
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			look = moment{}
			missing = f.look()
		default: // no such error is known; do not loop without a pause
			time.Sleep(settle)
			look.happened(time.Now())
		}
	}
}

// matters reports whether an event may change the file. IN_Q_OVERFLOW means that the kernel has dropped such events.
func (f *File) matters(watch int, mask uint32, name string) bool {
	names, watched := f.watches[watch]
	return mask&unix.IN_Q_OVERFLOW != 0 || watched && (name == "" || slices.Contains(names, name))
}

// look reads the file, sends to Changed if the content has changed, and reports whether a part of the path cannot be watched.
func (f *File) look() (missing bool) {
	missing = f.follow()
	if sum := f.sum(); sum != f.known {
		f.known = sum
		f.notify()
	}
	return missing
}

func (f *File) notify() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *File) sum() sum {
	data, err := linux.ReadRegular(f.path, f.limit)
	if err != nil {
		return sha256.Sum256([]byte("\x00" + err.Error())) // no valid content begins with a zero byte
	}
	return sha256.Sum256(data)
}

// follow watches the entries that the path has now, and nothing else. It reports whether one cannot be watched.
func (f *File) follow() (missing bool) {
	before := f.watches
	f.watches = map[int][]string{}
	watch := func(path string, mask uint32, name string) {
		if len(f.watches) == mostWatches {
			missing = true
			return
		}
		number, err := f.add(path, mask)
		switch {
		case err == nil:
			f.watches[number] = append(f.watches[number], name)
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR): // its directory has an event then
			missing = true
		}
	}
	if file := walk(f.path, func(directory, name string) { watch(directory, directoryEvents, name) }); file != "" {
		watch(file, fileEvents, "")
	}
	for number := range before {
		if _, wanted := f.watches[number]; !wanted {
			_ = f.inotify.Remove(number) // it fails if the kernel has removed the watch already
		}
	}
	return missing
}
