package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"

	"tcp-proxy/internal/sanitize"
)

// files are the files of a configuration: one, or those of a directory. It does not change after parsing, and is safe for
// concurrent use.
//
// Offsets in root count through all files: those of a file begin at its base. In a directory root is no value of a file: it
// has the members of all files, and one array with the apps of all files. Such values have the offset nowhere.
type files struct {
	name      string // of the file, or of the directory
	directory bool
	list      []*source // in the order in which they are read
	root      hujson.Value
	firstApp  []int    // directory: for each file the index of its first app among all apps
	others    []string // directory: the names of what is not read
}

// nowhere is the offset of a value that is not in a file.
const nowhere = -1

// config decodes and checks the files. The error is Errors, all of them.
func (f *files) config() (*Config, error) {
	d := decoder{files: f}
	if f.directory {
		d.merge()
	}
	doc := d.document()
	d.check(&doc)
	if d.problems.count > 0 {
		return nil, f.report(&d.problems)
	}
	c := &doc.Config
	c.files = f
	c.Admin = doc.Admin.config()
	c.Apps, c.elements = make([]App, len(doc.Apps)), make([][]int, len(doc.Apps))
	for i, a := range doc.Apps {
		c.Apps[i] = App{Name: string(a.Name), Targets: a.Targets, Settings: a.Settings}
		c.Apps[i].Ports, c.elements[i] = expand(a.Ports)
	}
	return c, nil
}

// find returns the index of the file at an offset, or -1 for nowhere.
func (f *files) find(offset int) int {
	i, found := slices.BinarySearchFunc(f.list, offset, func(s *source, offset int) int { return s.base - offset })
	if found {
		return i
	}
	return i - 1
}

// at returns an error at an offset.
func (f *files) at(offset int, path, text string) Error {
	e := Error{File: f.name, Path: f.within(offset, path), Text: sanitize.Text(text, maxText)}
	if i := f.find(offset); i >= 0 {
		src := f.list[i]
		at := src.place(offset - src.base)
		e.File, e.Line, e.Column = src.name, at.line, at.column
	}
	return e
}

// within returns the path of a value in its file: the apps of a directory are numbered through all files, those in messages
// by file.
func (f *files) within(offset int, path string) string {
	i := f.find(offset)
	rest, isApp := strings.CutPrefix(path, "apps[")
	number, rest, _ := strings.Cut(rest, "]")
	n, err := strconv.Atoi(number)
	if !f.directory || i < 0 || !isApp || err != nil {
		return path
	}
	return fmt.Sprintf("apps[%d]%s", n-f.firstApp[i], rest)
}

// reference is another value in an error about the value at from. String returns its path, and its place, with the file if
// it is another one.
type reference struct {
	files  *files
	path   string // empty: only the place
	offset int
	from   int
}

func (r reference) String() string {
	e := r.files.at(r.offset, r.path, "")
	where := fmt.Sprintf("line %d, column %d", e.Line, e.Column)
	if r.files.find(r.from) != r.files.find(r.offset) {
		where = fmt.Sprintf("%s:%d:%d", sanitize.Text(e.File, maxFile), e.Line, e.Column)
	}
	if e.Path == "" {
		return where
	}
	return e.Path + " at " + where
}

// report converts problems to Errors.
func (f *files) report(ps *problems) Errors {
	ps.sort()
	errs := make(Errors, len(ps.kept), len(ps.kept)+1)
	for i, p := range ps.kept {
		errs[i] = f.at(p.offset, p.path, p.text)
	}
	if rest := ps.count - len(errs); rest > 0 {
		errs = append(errs, f.more(rest))
	}
	return errs
}

func (f *files) more(n int) Error { return Error{File: f.name, Text: "and " + more(n), rest: n} }

// locate returns the offset of the value at a path, or of the nearest enclosing value in the files.
func (f *files) locate(path string) int {
	at := &f.root
	for path != "" {
		var next *hujson.Value
		if index, ok := strings.CutPrefix(path, "["); ok {
			index, path, _ = strings.Cut(index, "]")
			next = element(at, index)
		} else {
			path = strings.TrimPrefix(path, ".")
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			next = member(at, path[:end])
			path = path[end:]
		}
		if next == nil {
			break
		}
		at = next
	}
	return at.StartOffset
}

// Files returns the paths of the files that the configuration was read from, in their order: one, or those of a directory.
func (c *Config) Files() []string {
	if c.files == nil {
		return nil
	}
	paths := make([]string, len(c.files.list))
	for i, src := range c.files.list {
		paths[i] = src.name
	}
	return paths
}

// FromDirectory reports whether the configuration was read from a directory. Then unread has the names of what is in the
// directory but is not read, without hidden files.
func (c *Config) FromDirectory() (unread []string, ok bool) {
	if c.files == nil || !c.files.directory {
		return nil, false
	}
	return c.files.others, true
}

// FileOf returns the path of the file that has Apps[app]. The Config was read from files.
func (c *Config) FileOf(app int) string {
	return c.files.list[c.files.find(c.files.locate(fmt.Sprintf("apps[%d]", app)))].name
}
