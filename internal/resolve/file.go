package resolve

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxFile is how much of a file is read.
const maxFile = 16 << 20

// fileSettles is how long after its last change a file is read again each time: a further change within the granularity
// of the file system's clock cannot be told from the one before.
const fileSettles = time.Second

// file is what a text file says. It is read again when the file has changed. It is safe for concurrent use.
type file[T any] struct {
	path  string
	parse func(text string) T // a file that is missing, or is no regular file, says what an empty one says

	mu      sync.Mutex // guards what follows
	value   T
	read    bool
	version version
	settled bool // the version tells this content from every later one
}

// version tells one content of a file from another. The zero version is that of a file that is missing.
type version struct {
	inode   uint64
	size    int64
	changed time.Time
}

// get returns what the file says now. The value is shared: nobody may change it.
func (f *file[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	now := versionOf(info, err)
	if f.read && f.settled && now == f.version {
		return f.value
	}
	f.value = f.parse(readText(f.path))
	f.read, f.version, f.settled = true, now, time.Since(now.changed) > fileSettles
	return f.value
}

func versionOf(info os.FileInfo, err error) version {
	if err != nil {
		return version{}
	}
	v := version{size: info.Size(), changed: info.ModTime()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		v.inode = stat.Ino
	}
	return v
}

// readText returns the begin of a regular file, and nothing of what is none or cannot be read. It does not wait for a
// FIFO's writer (open(2), O_NONBLOCK).
func readText(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return ""
	}
	return string(text)
}
