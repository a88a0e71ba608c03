// Package watch tells when a file may have changed, however that is done: written in place, replaced by a rename as
// editors do, or reached through symbolic links one of which is swapped, as Kubernetes does with what it mounts.
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
	again       = 5 * time.Second // when to look at a file again if something on the way to it cannot be watched
	mostWatches = 128             // directories that are watched for one file, and the file
)

// What is wanted to be known of a directory: which entries it has, and what may be done with them. That somebody writes to
// another file in it is not told; so a directory in which much is going on costs little.
const ofDirectory = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ATTRIB |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// What is wanted to be known of the file itself, by whichever path that is done to it.
const ofFile = unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_DONT_FOLLOW

// File is a file that is watched. It need not exist.
type File struct {
	// Changed gets a value when the content is another than when it got the last one, and one at the start: what
	// happened before that may have been missed. A value that nobody has taken yet stands for all.
	Changed <-chan struct{}

	path    string
	limit   int // bytes
	changed chan struct{}
	inotify *linux.Inotify
	done    chan struct{} // closed when run has ended

	// What follows is run's alone, once it is started.
	watches map[int][]string // the entries that matter in what is watched, by the number of the watch
	known   sum              // of the content when it was looked at last
	add     func(path string, mask uint32) (watch int, err error)
	again   time.Duration
}

// sum stands for a content, or for the reason why there is none.
type sum [sha256.Size]byte

// Open begins to watch a file, until Close. Files of more than limit bytes are all the same to it. What cannot be watched
// is looked at now and then; the error is for want of inotify(7) itself.
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
		add: inotify.Add, again: again}
}

func (f *File) start() {
	missing := f.follow()
	f.known = f.sum()
	f.tell()
	go f.run(missing)
}

// Close ends watching. Changed gets no more values then.
func (f *File) Close() error {
	err := f.inotify.Close()
	<-f.done
	return err
}

// run is the goroutine that looks at the file when something has happened to it, or to the way that leads to it, and now
// and then while a part of that way cannot be watched.
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
		default: // no cause is known; whatever it is, it does not keep a processor busy
			time.Sleep(settle)
			look.happened(time.Now())
		}
	}
}

// matters reports whether an event may change what the path leads to. If the kernel has dropped events, one of those may.
func (f *File) matters(watch int, mask uint32, name string) bool {
	names, watched := f.watches[watch]
	return mask&unix.IN_Q_OVERFLOW != 0 || watched && (name == "" || slices.Contains(names, name))
}

// look tells if the content is another, and reports whether a part of the way to it cannot be watched.
func (f *File) look() (missing bool) {
	missing = f.follow()
	if sum := f.sum(); sum != f.known {
		f.known = sum
		f.tell()
	}
	return missing
}

func (f *File) tell() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *File) sum() sum {
	data, err := linux.ReadRegular(f.path, f.limit)
	if err != nil {
		return sha256.Sum256([]byte("\x00" + err.Error())) // of no text
	}
	return sha256.Sum256(data)
}

// follow watches the way that the path leads now, and nothing else. It reports whether a part of that cannot be watched.
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
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR): // those are told by where it was
			missing = true
		}
	}
	if file := walk(f.path, func(directory, name string) { watch(directory, ofDirectory, name) }); file != "" {
		watch(file, ofFile, "")
	}
	for number := range before {
		if _, wanted := f.watches[number]; !wanted {
			_ = f.inotify.Remove(number) // it fails for a number that is none
		}
	}
	return missing
}
