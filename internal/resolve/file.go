package resolve

import (
	"os"
	"sync"
	"syscall"
	"time"

	"tcp-proxy/internal/linux"
)

// maxFile is the maximum size of a file, in bytes.
const maxFile = 16 << 20

// stableAfter is how long after its last change a file is read on every get: within the resolution of the file system's
// clock, a second change has the same time as the first.
const stableAfter = time.Second

// file is a parsed text file that is read again when it has changed. It is safe for concurrent use.
type file[T any] struct {
	path  string
	parse func(text string) T // called with "" if the file is missing, too large or not a regular file

	mu      sync.Mutex // guards the fields below
	value   T
	read    bool
	version version
	stable  bool // later content is sure to have another version
}

// version identifies the content of a file. The zero version is that of a missing file.
type version struct {
	inode   uint64
	size    int64
	changed time.Time
}

// get returns the current content. The value is shared and must not be modified.
func (f *file[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	now := versionOf(info, err)
	if f.read && f.stable && now == f.version {
		return f.value
	}
	f.value = f.parse(readText(f.path))
	f.read, f.version, f.stable = true, now, time.Since(now.changed) > stableAfter
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

// readText returns the text of a regular file of at most maxFile bytes; "" if it cannot be read, or is not one.
func readText(path string) string {
	text, err := linux.ReadRegular(path, maxFile)
	if err != nil {
		return ""
	}
	return string(text)
}
