package resolve

import (
	"os"
	"sync"
	"syscall"
	"time"

	"tcp-proxy/internal/linux"
)

// maxFile is how large a file may be, in bytes.
const maxFile = 16 << 20

// fileSettles is how long after its last change a file is read again each time: a further change within the granularity
// of the file system's clock cannot be told from the one before.
const fileSettles = time.Second

// file is what a text file says. It is read again when the file has changed. It is safe for concurrent use.
type file[T any] struct {
	path  string
	parse func(text string) T // a file that is missing, too large or no regular file says what an empty one says

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

// readText returns the text of a regular file of at most maxFile bytes, and nothing of any other or one that cannot be read.
func readText(path string) string {
	text, err := linux.ReadRegular(path, maxFile)
	if err != nil {
		return ""
	}
	return string(text)
}
