package config

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"tcp-proxy/internal/linux"
)

// Limits of a configuration directory.
const (
	MaxFiles     = 1024   // that are read: one for each of maxApps, and some more
	maxEntries   = 10_000 // of the directory, read or not
	mostReadings = 10     // until two in a row are the same
)

// IsFile reports whether the file of a configuration directory with this name is read: *.json, without hidden files. So
// backups of editors and of package managers, such as web.json~ and web.json.dpkg-new, are not.
func IsFile(name string) bool {
	return strings.HasSuffix(name, ".json") && !strings.HasPrefix(name, ".")
}

// reading is the content of a directory at one time.
type reading struct {
	parts  []part   // in the order of their names
	others []string // names of what is not read, without hidden files; sorted
	size   int      // of the parts, in bytes
}

// part is one file of a directory: its content, or an error that says why it has none.
type part struct {
	path string
	data []byte
	err  error // *Error
}

// readDirectory reads the files of a directory once, at most MaxSize bytes and the last file. The error is an Error if the
// directory exceeds a limit, otherwise a system error.
func readDirectory(path string) (*reading, error) {
	names, err := linux.ReadNames(path, maxEntries)
	var unfit *linux.Unfit
	switch {
	case errors.As(err, &unfit):
		return nil, Error{File: path, Text: fmt.Sprintf("%s: a configuration directory has at most %d files", unfit.Why, MaxFiles)}
	case err != nil:
		return nil, err
	}
	r := &reading{}
	for _, name := range names {
		switch {
		case !IsFile(name):
			if !strings.HasPrefix(name, ".") {
				r.others = append(r.others, name)
			}
			continue
		case len(r.parts) == MaxFiles:
			return nil, Error{File: path, Text: fmt.Sprintf("has more than %d files: that is the limit of a configuration directory", MaxFiles)}
		}
		p := readPart(filepath.Join(path, name))
		r.parts = append(r.parts, p)
		if r.size += len(p.data); r.size > MaxSize {
			return nil, Error{File: path, Text: fmt.Sprintf("its files are larger than 16 MiB in all, the limit of a configuration; %s exceeds it", name)}
		}
	}
	return r, nil
}

// readPart reads a file of a directory.
func readPart(path string) part {
	data, err := linux.ReadRegular(path, MaxSize)
	var unfit *linux.Unfit
	switch {
	case err == nil:
		return part{path: path, data: data}
	case errors.As(err, &unfit):
		return failed(path, unfit.Why+": every *.json of a configuration directory is a regular file of at most 16 MiB", err)
	}
	if to, ok := linux.BrokenLink(path); ok {
		return failed(path, "is a symbolic link that leads nowhere: "+to+" does not exist", err)
	}
	return failed(path, "cannot be read: "+reason(err), err) // also if it was removed since: then the next reading differs
}

func failed(path, text string, cause error) part {
	return part{path: path, err: &Error{File: path, Text: text, cause: cause}}
}

// reason returns the text of an error without its operation and path.
func reason(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// sum returns a checksum of the names and contents.
func (r *reading) sum() (sum [sha256.Size]byte) {
	hash := sha256.New()
	add := func(text []byte) {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		hash.Write(text)
	}
	for _, p := range r.parts {
		add([]byte(p.path))
		if p.err != nil {
			hash.Write([]byte{1})
			add([]byte(p.err.Error()))
			continue
		}
		hash.Write([]byte{0})
		add(p.data)
	}
	hash.Sum(sum[:0])
	return sum
}

// Sum returns a checksum of the content of a configuration file or directory, or of the error if it cannot be read.
func Sum(path string) [sha256.Size]byte {
	var data []byte
	var err error
	if linux.IsDirectory(path) {
		var r *reading
		if r, err = readDirectory(path); err == nil {
			return r.sum()
		}
	} else if data, err = linux.ReadRegular(path, MaxSize); err == nil {
		return sha256.Sum256(data)
	}
	return sha256.Sum256([]byte("\x00" + err.Error())) // no valid content begins with a zero byte
}

// loadDirectory reads the files of a directory until two readings in a row are the same, and parses them as one configuration.
// So it does not mix files of before and after a change: unless a file returns to a content that it had before, all files had
// these contents at the time between the two readings. read is readDirectory.
func loadDirectory(path string, read func(path string) (*reading, error)) (*Config, error) {
	var before [sha256.Size]byte
	for range mostReadings {
		r, err := read(path)
		var limit Error
		switch {
		case errors.As(err, &limit):
			return nil, limit
		case err != nil:
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		now := r.sum()
		if now == before {
			c, err := r.parse(path)
			if err == nil {
				c.sum = now
			}
			return c, err
		}
		before = now
	}
	return nil, Error{File: path, Text: fmt.Sprintf("has changed each of the %d times it was read: try again when its files stay as they are", mostReadings)}
}

// parse parses the files as one configuration. Without a file the error is an Error, otherwise Errors: those of files that
// cannot be read or have the wrong syntax, the first one of each file; if there are none, all others.
func (r *reading) parse(path string) (*Config, error) {
	if len(r.parts) == 0 {
		return nil, Error{File: path, Text: "is a directory without a configuration file: it needs at least one with a name like web.json" + r.besides()}
	}
	f := &files{name: path, directory: true, others: r.others}
	var errs Errors
	values, base := maxValues, 0
	for _, p := range r.parts {
		src := newSource(p.path, p.data)
		src.base, src.values = base, values
		base += len(src.data) + 1 // the end of a file is an offset of its own
		f.list = append(f.list, src)
		var unread *Error
		if errors.As(p.err, &unread) {
			errs = append(errs, *unread)
		} else if wrong := src.parseSyntax(); wrong != nil {
			errs = append(errs, f.at(src.base+wrong.offset, wrong.path, wrong.text))
		}
		values = src.values
	}
	if n := len(errs); n > MaxErrors {
		errs = append(errs[:MaxErrors], f.more(n-MaxErrors))
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return f.config()
}

// besides returns the end of an error for a directory without a file to read: what else it has.
func (r *reading) besides() string {
	switch len(r.others) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("; %s is not read", quote(r.others[0]))
	}
	return fmt.Sprintf("; %s and %d more are not read", quote(r.others[0]), len(r.others)-1)
}
