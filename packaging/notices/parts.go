package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// The architectures that packages are built for. They differ in a few files of the standard library.
var architectures = []string{"amd64", "arm64"}

// goName is the part that has Go and its standard library.
const goName = "Go"

// A part is linked into the program and has a license: a module, a directory of one with a license of its own, files with
// a notice of their own, or Go.
type part struct {
	name      string   // the path of a module, or of the directory or the first file in it; or Go
	from      string   // the module and its version, as in "golang.org/x/sys v0.49.0"
	files     []string // patterns, as debian/copyright has them: the path of the module and the path in it
	copyright []string // lines without the word Copyright; at least one
	license   string   // the SPDX identifier of the license
	text      string   // the license in full, as its author wrote it
	notice    string   // the NOTICE file, which Apache-2.0 requires to be passed on; or empty
}

// listed is what `go list` prints of a package.
type listed struct {
	ImportPath, Dir string
	Standard        bool
	GoFiles, SFiles []string
	Module          *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// collect returns the parts of the program, sorted by name, Go first.
func collect(program string) ([]part, error) {
	packages, err := list(program)
	if err != nil {
		return nil, err
	}
	found := map[string]*part{} // by directory of the license
	sources := map[string]map[string]bool{}
	var own []part
	for _, p := range packages {
		if p.Module != nil && p.Module.Main {
			continue
		}
		owner, err := ownerOf(p)
		if err != nil {
			return nil, err
		}
		dir, err := owner.licensed(p.Dir)
		if err != nil {
			return nil, err
		}
		if found[dir] == nil {
			if found[dir], err = owner.read(dir); err != nil {
				return nil, err
			}
			sources[dir] = map[string]bool{}
		}
		for _, name := range slices.Concat(p.GoFiles, p.SFiles) {
			sources[dir][filepath.Join(p.Dir, name)] = true
			notices, err := owner.noticesIn(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			own = append(own, notices...)
		}
	}
	parts := merge(own)
	for dir, p := range found {
		if len(p.copyright) == 0 {
			if p.copyright, err = holders(sources[dir]); err != nil {
				return nil, err
			}
		}
		if len(p.copyright) == 0 {
			return nil, fmt.Errorf("%s: neither its license nor its source names a holder of the copyright", p.name)
		}
		parts = append(parts, *p)
	}
	slices.SortFunc(parts, func(a, b part) int {
		if (a.name == goName) != (b.name == goName) {
			return map[bool]int{true: -1, false: 1}[a.name == goName]
		}
		return strings.Compare(a.name, b.name)
	})
	return parts, nil
}

// list returns the packages that are linked into the program, on any architecture.
func list(program string) ([]listed, error) {
	var packages []listed
	seen := map[string]int{}
	for _, arch := range architectures {
		cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,Standard,GoFiles,SFiles,Module", program)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
		}
		decoder := json.NewDecoder(bytes.NewReader(out))
		for {
			var p listed
			if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("go list: %w", err)
			}
			i, ok := seen[p.ImportPath]
			if !ok {
				seen[p.ImportPath] = len(packages)
				packages = append(packages, p)
				continue
			}
			packages[i].GoFiles = union(packages[i].GoFiles, p.GoFiles)
			packages[i].SFiles = union(packages[i].SFiles, p.SFiles)
		}
	}
	return packages, nil
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// An owner is where a package comes from: a module, or Go.
type owner struct{ name, version, root string }

func ownerOf(p listed) (owner, error) {
	switch {
	case p.Standard:
		out, err := exec.Command("go", "env", "GOROOT").Output()
		return owner{goName, strings.TrimPrefix(runtime.Version(), "go"), strings.TrimSpace(string(out))}, err
	case p.Module == nil || p.Module.Dir == "":
		return owner{}, fmt.Errorf("%s: its module is not in the module cache: build the program first", p.ImportPath)
	}
	return owner{p.Module.Path, p.Module.Version, p.Module.Dir}, nil
}

// licensed returns the directory of the license that a package has: its own, or the nearest one above it in its module.
func (o owner) licensed(dir string) (string, error) {
	for {
		names, err := filesNamed(dir, "LICENSE", "LICENCE", "COPYING")
		if err != nil {
			return "", err
		}
		if len(names) > 0 || (dir == o.root && o.name == goName) {
			return dir, nil
		}
		if dir == o.root || len(dir) <= len(o.root) {
			return "", fmt.Errorf("%s %s has no license", o.name, o.version)
		}
		dir = filepath.Dir(dir)
	}
}

// filesNamed returns the paths of the files that have one of the names, with any extension for text.
func filesNamed(dir string, names ...string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		base, extension, _ := strings.Cut(entry.Name(), ".")
		if !entry.IsDir() && slices.Contains(names, strings.ToUpper(base)) && slices.Contains([]string{"", "txt", "md"}, extension) {
			found = append(found, filepath.Join(dir, entry.Name()))
		}
	}
	return found, nil
}

// read reads the license in a directory of the module.
func (o owner) read(dir string) (*part, error) {
	p := &part{name: o.name, from: o.name + " " + o.version, files: []string{o.path(dir) + "/*"}}
	if dir != o.root {
		p.name = o.path(dir)
	}
	for _, kind := range []struct {
		to    *string
		names []string
	}{{&p.text, []string{"LICENSE", "LICENCE", "COPYING"}}, {&p.notice, []string{"NOTICE"}}} {
		files, err := filesNamed(dir, kind.names...)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			*kind.to += strings.TrimSpace(string(data)) + "\n"
		}
	}
	if p.text == "" { // GOROOT of a distribution's Go: the license is elsewhere
		p.text = goLicense
	}
	var err error
	if p.license, err = identify(p.text); err != nil {
		return nil, fmt.Errorf("%s %s: %w", o.name, o.version, err)
	}
	p.copyright = copyrights(p.text)
	return p, nil
}

// path returns the path of a file or directory of the module with the path of the module, or go/, before it.
func (o owner) path(name string) string {
	inside := strings.TrimPrefix(name, o.root)
	if o.name == goName {
		return path.Join("go", inside)
	}
	return path.Join(o.name, inside)
}
