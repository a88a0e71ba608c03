// Package watch tells when a file may have changed, however that is done: written in place, replaced by a rename as
// editors do, or reached through symbolic links one of which is swapped, as Kubernetes does with what it mounts.
package watch

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a file must be left alone before a change is told: who writes in several steps is not to be read
// in between.
const settle = 100 * time.Millisecond

// File is a file that is watched. It need not exist.
type File struct {
	// Changed gets a value when the content is another than when it got the last one, and one at the start: what
	// happened before that may have been missed. A value that nobody has taken yet stands for all.
	Changed <-chan struct{}

	path    string
	changed chan struct{}
	watcher *fsnotify.Watcher
	done    chan struct{} // closed when run has ended
}

// Open begins to watch a file, until Close. Directories that cannot be watched are left out; the error is for want of
// inotify(7) itself.
func Open(path string) (*File, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	changed := make(chan struct{}, 1)
	f := &File{Changed: changed, path: path, changed: changed, watcher: watcher, done: make(chan struct{})}
	f.follow()
	go f.run(f.sum())
	f.tell()
	return f, nil
}

// Close ends watching. Changed gets no more values then.
func (f *File) Close() error {
	err := f.watcher.Close()
	<-f.done
	return err
}

// run is the goroutine that looks at the file when something has happened near it.
func (f *File) run(known []byte) {
	defer close(f.done)
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	for {
		select {
		case _, open := <-f.watcher.Events:
			if !open {
				return
			}
			quiet.Reset(settle)
		case _, open := <-f.watcher.Errors: // more happened than was told
			if !open {
				return
			}
			quiet.Reset(settle)
		case <-quiet.C:
			f.follow()
			if sum := f.sum(); !bytes.Equal(sum, known) {
				known = sum
				f.tell()
			}
		}
	}
}

func (f *File) tell() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// sum stands for the content; nil if it cannot be read.
func (f *File) sum() []byte {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(data)
	return sum[:]
}

// follow watches the directories in which a change can lead to another content, and no others.
func (f *File) follow() {
	wanted := map[string]bool{}
	for _, dir := range directories(f.path) {
		wanted[dir] = true
	}
	for _, dir := range f.watcher.WatchList() {
		if !wanted[dir] {
			_ = f.watcher.Remove(dir) // it may be gone
		}
	}
	for dir := range wanted {
		_ = f.watcher.Add(dir) // it may be gone, which its own directory tells; for one already there it does nothing
	}
}
