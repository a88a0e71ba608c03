package watch

import (
	"os"
	"path/filepath"
	"strings"
)

// mostLinks is how many symbolic links a path may go through, as in path_resolution(7).
const mostLinks = 40

// directories gives those on the way to a file in which an entry decides what the path means: the one of the file, of
// each symbolic link, and of the first thing that is missing.
func directories(path string) []string {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	var found []string
	at, rest := "/", parts(path)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		info, err := os.Lstat(next)
		switch {
		case err != nil:
			return append(found, at)
		case info.Mode()&os.ModeSymlink != 0:
			found = append(found, at)
			to, err := os.Readlink(next)
			if links++; err != nil || links > mostLinks {
				return found
			}
			if filepath.IsAbs(to) {
				at = "/"
			}
			rest = append(parts(to), rest[1:]...)
			continue
		case len(rest) == 1:
			found = append(found, at)
		}
		at, rest = next, rest[1:]
	}
	return found
}

// parts are the names that a path consists of.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}
