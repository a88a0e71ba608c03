package watch

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// mostLinks is the limit of symbolic links in resolving a path, as in path_resolution(7).
const mostLinks = 40

// kind is where a path leads.
type kind int

const (
	none    kind = iota // nowhere, or to something that is neither of the others
	regular             // to a regular file
	folder              // to a directory
)

// walk resolves a path as the kernel does (path_resolution(7)). It calls at for each directory entry that the resolution uses,
// before it reads the entry; so if at watches the directory, no change in between is missed. It ends at the first entry that
// is missing, or at the end of the path, of which it returns the path without links.
func walk(path string, at func(directory, name string)) (end string, k kind) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", none
	}
	return walkFrom("/", path, at)
}

// walkFrom is walk for a path relative to here, a directory without links in its path.
func walkFrom(here, path string, at func(directory, name string)) (end string, k kind) {
	rest := parts(path)
	k = folder
	for links := 0; len(rest) > 0; {
		name := rest[0]
		next := filepath.Join(here, name)
		if name != ".." {
			at(here, name)
		}
		info, err := os.Lstat(next)
		switch {
		case err != nil:
			return "", none
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(next)
			if links++; err != nil || links > mostLinks {
				return "", none
			}
			if filepath.IsAbs(to) {
				here = "/"
			}
			rest = append(parts(to), rest[1:]...)
			continue
		case len(rest) == 1 && info.Mode().IsRegular():
			return next, regular
		case !info.IsDir():
			k = none
		}
		here, rest = next, rest[1:]
	}
	return here, k
}

// parts splits a path into its names.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}
