// Package watch reports changes of a file, or of the files of a directory: if one is written in place, is replaced by a
// rename, as editors do, or is reached through a symbolic link that is replaced, as in volumes of Kubernetes; and if one
// appears in the directory or vanishes.
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
	mostFiles   = 2048            // of the files of a directory, in addition
	mostNames   = 10_000          // in a directory; with more, its files are not watched, only their creation and removal
)

// directoryEvents are the events of a directory: changes of its entries and of their permissions. Writing to other files in it
// is not among them, so a busy directory costs little.
const directoryEvents = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ATTRIB |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// fileEvents are the events of the file itself, also if it is written by another path.
const fileEvents = unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_DONT_FOLLOW

// Content is what to read of a file or a directory.
type Content struct {
	Sum  func(path string) [sha256.Size]byte // a checksum of the content, or of the error if it cannot be read
	Part func(name string) bool              // whether the file of a directory with this name is part of the content
}

// File watches a file or a directory, which need not exist, and may become the one or the other.
type File struct {
	// Changed gets a value when the content has changed, and one at the start, since the file may have changed since it
	// was read. Its capacity is 1: several changes may be one value.
	Changed <-chan struct{}

	path    string
	content Content
	changed chan struct{}
	inotify *linux.Inotify
	done    chan struct{} // closed when run has returned

	// Only run uses what follows, once it is started.
	watches map[int]names     // by watch descriptor (inotify(7))
	known   [sha256.Size]byte // the checksum when the content was read last
	add     func(path string, mask uint32) (watch int, err error)
	again   time.Duration // retryAfter
}

// names are the names to watch in a directory. A watch of a file has the name "".
type names struct {
	exact []string
	parts bool // also those for which Content.Part is true
}

// Open watches a file or a directory until Close. While a part of its path cannot be watched, it reads the content from time
// to time instead. The error is that inotify(7) is not available.
func Open(path string, content Content) (*File, error) {
	inotify, err := linux.NewInotify()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	f := newFile(path, content, inotify)
	f.start()
	return f, nil
}

func newFile(path string, content Content, inotify *linux.Inotify) *File {
	changed := make(chan struct{}, 1)
	return &File{Changed: changed, path: path, content: content, changed: changed, inotify: inotify, done: make(chan struct{}),
		add: inotify.Add, again: retryAfter}
}

func (f *File) start() {
	missing := f.follow()
	f.known = f.content.Sum(f.path)
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
	return mask&unix.IN_Q_OVERFLOW != 0 ||
		watched && (name == "" || slices.Contains(names.exact, name) || names.parts && f.content.Part(name))
}

// look reads the file, sends to Changed if the content has changed, and reports whether a part of the path cannot be watched.
func (f *File) look() (missing bool) {
	missing = f.follow()
	if sum := f.content.Sum(f.path); sum != f.known {
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

// follow watches the entries that the path has now, and those of its files if it leads to a directory, and nothing else. It
// reports whether one cannot be watched.
func (f *File) follow() (missing bool) {
	before := f.watches
	f.watches = map[int]names{}
	most := mostWatches
	watch := func(path string, mask uint32, add func(*names)) {
		if len(f.watches) == most {
			missing = true
			return
		}
		number, err := f.add(path, mask)
		switch {
		case err == nil:
			names := f.watches[number]
			add(&names)
			f.watches[number] = names
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR): // its directory has an event then
			missing = true
		}
	}
	entry := func(directory, name string) {
		watch(directory, directoryEvents, func(n *names) { n.exact = append(n.exact, name) })
	}
	file := func(path string) { watch(path, fileEvents, func(*names) {}) }
	switch path, kind := walk(f.path, entry); kind {
	case regular:
		file(path)
	case folder:
		watch(path, directoryEvents, func(n *names) { n.parts = true })
		most += mostFiles
		for _, name := range f.parts(path) {
			beyond := func(directory, name string) {
				if directory != path || !f.content.Part(name) { // else it is watched already
					entry(directory, name)
				}
			}
			if part, kind := walkFrom(path, name, beyond); kind == regular {
				file(part)
			}
		}
	}
	for number := range before {
		if _, wanted := f.watches[number]; !wanted {
			_ = f.inotify.Remove(number) // it fails if the kernel has removed the watch already
		}
	}
	return missing
}

// parts returns the names of the files in a directory that are part of the content.
func (f *File) parts(path string) []string {
	all, err := linux.ReadNames(path, mostNames)
	if err != nil {
		return nil // Content.Sum has the error
	}
	return slices.DeleteFunc(all, func(name string) bool { return !f.content.Part(name) })
}
