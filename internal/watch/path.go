package watch

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// mostLinks is the limit of symbolic links in resolving a path, as in path_resolution(7).
const mostLinks = 40

// walk resolves a path as the kernel does (path_resolution(7)). It calls at for each directory entry that the resolution uses,
// before it reads the entry; so if at watches the directory, no change in between is missed. It ends at the first entry that
// is missing, or at the file, which it returns if it is regular.
func walk(path string, at func(directory, name string)) (file string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	here, rest := "/", parts(path)
	for links := 0; len(rest) > 0; {
		name := rest[0]
		next := filepath.Join(here, name)
		if name != ".." {
			at(here, name)
		}
		info, err := os.Lstat(next)
		switch {
		case err != nil:
			return ""
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(next)
			if links++; err != nil || links > mostLinks {
				return ""
			}
			if filepath.IsAbs(to) {
				here = "/"
			}
			rest = append(parts(to), rest[1:]...)
			continue
		case len(rest) == 1 && info.Mode().IsRegular():
			return next
		}
		here, rest = next, rest[1:]
	}
	return ""
}

// parts splits a path into its names.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}
