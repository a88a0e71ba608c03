package linux

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// IsDirectory reports whether a path leads to a directory.
func IsDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// ReadNames returns the names in a directory, sorted, without waiting for another process. If there are more than limit, the
// error is an Unfit.
func ReadNames(path string, limit int) ([]string, error) {
	directory, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(limit + 1)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case len(names) > limit:
		return nil, &Unfit{path, fmt.Sprintf("has more than %d entries", limit)}
	}
	slices.Sort(names)
	return names, nil
}

// BrokenLink returns the text of a symbolic link that leads nowhere; ok is false for other files, also for those that do not
// exist.
func BrokenLink(path string) (to string, ok bool) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	to, err := os.Readlink(path)
	return to, err == nil
}
