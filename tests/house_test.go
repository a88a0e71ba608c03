// Package tests checks rules of the whole repository: which package may import which, that each package has one
// comment, and that the docs agree with the code. The tests that run the built binary are in its folders.
package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "tcp-proxy"

// floors are the packages from the bottom up, without the name of the module. A package imports only packages of
// lower floors. A package is on the floor of the package above it in the tree.
var floors = [][]string{
	{"internal/config", "internal/systemd", "internal/linux", "internal/sanitize", "internal/watch", "internal/ratelimit", "internal/testkit"},
	{"internal/reactor", "internal/upstream", "internal/admit", "internal/logging", "internal/meter", "internal/proxyproto", "internal/listen", "internal/handover"},
	{"internal/relay", "internal/probe", "internal/resolve"},
	{"internal/proxy"},
	{"internal/admin"},
	{"internal/daemon", "cmd/tcp-proxy"},
}

// neighbours are the allowed imports within a floor, besides those that a package makes on its own branch of the tree.
var neighbours = [][2]string{
	{"cmd/tcp-proxy", "internal/daemon"},
	{"internal/admin", "internal/admin/page"},
	{"internal/config", "internal/linux"},
	{"internal/relay/iocopy", "internal/relay/session"},
	{"internal/relay/loop", "internal/relay/session"},
	{"internal/config", "internal/sanitize"},
	{"internal/watch", "internal/linux"},
	{"internal/linux", "internal/sanitize"},
	{"internal/systemd", "internal/sanitize"},
}

// forbidden are imports that only some packages may have.
var forbidden = []struct {
	imports []string // these packages and all below them
	where   func(name string) bool
	except  []string // of imports: allowed
	why     string
	deep    bool // also indirect imports
}{
	{
		imports: []string{"net/http"}, deep: true,
		where: below("internal/proxy", "internal/relay", "internal/upstream", "internal/admit", "internal/config", "internal/linux", "internal/listen"),
		why:   "only admin and probe use HTTP",
	},
	{
		imports: []string{module + "/internal/systemd"},
		where:   below("internal/proxy", "internal/relay", "internal/upstream", "internal/admit", "internal/config", "internal/linux", "internal/listen"),
		why:     "the proxy works the same without systemd; only daemon and logging know it",
	},
	{
		imports: []string{module + "/internal/config"},
		where:   below("internal/relay"),
		why:     "relay knows sockets and routes, not the configuration",
	},
	{
		imports: []string{"net/http", "os/exec", "syscall", "golang.org/x/sys"},
		where:   below("internal/config"),
		why:     "config does no I/O except in Load",
	},
	{
		imports: []string{module + "/internal/logging"},
		where: func(name string) bool {
			return floor(name) >= 0 && floor(name) <= 1 && !below("internal/logging")(name)
		},
		why: "the two lowest floors return errors and do not log",
	},
	{
		imports: []string{"github.com/sirupsen/logrus", "log", "log/slog"},
		where: func(name string) bool {
			return below("cmd", "internal")(name) && !below("internal/logging")(name)
		},
		why: "logging must not block: everything logs through logging.Logger",
	},
	{
		imports: []string{"os/signal", "github.com/spf13/cobra", "github.com/spf13/pflag"},
		where:   below("internal"),
		why:     "only cmd/tcp-proxy handles the command line and signals, so that tests can embed the rest",
	},
	{
		imports: []string{module + "/tests", "testing"},
		where:   func(name string) bool { return below("cmd", "internal")(name) && name != "internal/testkit" },
		why:     "released code does not depend on tests",
	},
	{
		// Tests import it, and the packages below tests/ that they use.
		imports: []string{module + "/internal/testkit", module + "/internal/relay/enginetest"}, deep: true,
		where: func(name string) bool {
			return !below("tests", "internal/testkit", "internal/relay/enginetest")(name)
		},
		why: "released code does not depend on tests",
	},
	{
		imports: []string{module + "/internal", module + "/cmd"},
		except:  []string{module + "/internal/testkit"},
		where:   below("tests/harness", "tests/peers", "tests/hostile", "tests/soak", "tests/admin", "tests/behaviour", "tests/commandline", "tests/traffic"),
		why:     "these tests use the binary only from outside",
	},
}

// house is what `go list` reports about a package; name is its import path without the module.
type house struct {
	ImportPath                         string
	Dir                                string
	Imports, Deps                      []string
	GoFiles, TestGoFiles, XTestGoFiles []string
	CgoFiles, IgnoredGoFiles           []string
	name                               string
}

func packages(t *testing.T) []house {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,Deps,GoFiles,TestGoFiles,XTestGoFiles,CgoFiles,IgnoredGoFiles", module+"/...")
	out, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var all []house
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p house
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		p.name = strings.TrimPrefix(p.ImportPath, module+"/")
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

// under reports whether a package is root or below it.
func under(name, root string) bool {
	return name == root || strings.HasPrefix(name, root+"/")
}

func below(roots ...string) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(roots, func(root string) bool { return under(name, root) })
	}
}

// floor returns the floor of a package, or -1.
func floor(name string) int {
	return slices.IndexFunc(floors, func(rooms []string) bool { return below(rooms...)(name) })
}

func TestImportsGoDown(t *testing.T) {
	for _, p := range packages(t) {
		if !below("cmd", "internal")(p.name) {
			continue
		}
		own := floor(p.name)
		if own < 0 {
			t.Errorf("%s has no floor", p.name)
			continue
		}
		for _, path := range p.Imports {
			imported, ours := strings.CutPrefix(path, module+"/")
			if !ours || !below("cmd", "internal")(imported) || floor(imported) < own {
				continue
			}
			if floor(imported) == own && (under(p.name, imported) || slices.Contains(neighbours, [2]string{p.name, imported})) {
				continue
			}
			t.Errorf("%s, on floor %d, imports %s, on floor %d", p.name, own, imported, floor(imported))
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, rule := range forbidden {
			if !rule.where(p.name) {
				continue
			}
			imports := p.Imports
			if rule.deep {
				imports = p.Deps
			}
			for _, path := range imports {
				if slices.Contains(rule.except, path) {
					continue
				}
				// Of the standard library the named packages alone are meant: net/netip is not net.
				if slices.Contains(rule.imports, path) || strings.Contains(path, ".") && below(rule.imports...)(path) ||
					under(path, module) && below(rule.imports...)(path) {
					t.Errorf("%s imports %s: %s", p.name, path, rule.why)
				}
			}
		}
	}
}

// A configuration means the same on every machine: package config does no I/O outside load.go, and directory.go for several
// files, and uses only the functions of package net that format addresses.
func TestConfigDoesNoIO(t *testing.T) {
	allowed := map[string][]string{"net": {"JoinHostPort", "SplitHostPort"}, "os": {}, "linux": {}}
	reads := map[string][]string{"directory.go": {"ReadNames", "ReadRegular", "BrokenLink", "IsDirectory", "Unfit"}}
	for _, p := range packages(t) {
		if p.name != "internal/config" {
			continue
		}
		for _, file := range p.GoFiles {
			if file == "load.go" {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(node ast.Node) bool {
				if selector, ok := node.(*ast.SelectorExpr); ok {
					name, _ := selector.X.(*ast.Ident)
					if name != nil && name.Name == "linux" && slices.Contains(reads[file], selector.Sel.Name) {
						return true
					}
					if name != nil && allowed[name.Name] != nil && !slices.Contains(allowed[name.Name], selector.Sel.Name) {
						t.Errorf("%s uses %s.%s", file, name.Name, selector.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// A write to standard error blocks if nothing reads it. So only the log writes there, on its own goroutine; other
// output of the commands goes through cobra or logging.Fail.
func TestOnlyTheLogWritesToStandardError(t *testing.T) {
	for _, p := range packages(t) {
		if !below("cmd", "internal")(p.name) || below("internal/logging")(p.name) {
			continue
		}
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(node ast.Node) bool {
				switch n := node.(type) {
				case *ast.CallExpr: // logging.New(os.Stderr, …) is the log itself
					if called, ok := n.Fun.(*ast.SelectorExpr); ok && isName(called, "logging", "New") {
						return false
					}
				case *ast.SelectorExpr:
					for _, bad := range [][2]string{{"os", "Stderr"}, {"os", "Stdout"}, {"fmt", "Print"}, {"fmt", "Printf"}, {"fmt", "Println"}} {
						if isName(n, bad[0], bad[1]) {
							t.Errorf("%s/%s uses %s.%s", p.name, file, bad[0], bad[1])
						}
					}
				}
				return true
			})
		}
	}
}

func isName(s *ast.SelectorExpr, pkg, name string) bool {
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg && s.Sel.Name == name
}

// Each package has one package comment. It is in a file that is not a test, so that `go doc` shows it; in a package
// of tests only, it is in one of them.
func TestOnePackageComment(t *testing.T) {
	for _, p := range packages(t) {
		files := slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles)
		if len(files) == 0 {
			files = slices.Concat(p.TestGoFiles, p.XTestGoFiles)
		} else {
			for _, file := range commented(t, p.Dir, slices.Concat(p.TestGoFiles, p.XTestGoFiles)) {
				t.Errorf("%s: the package comment must be in a file that is not a test", file)
			}
		}
		if with := commented(t, p.Dir, files); len(with) != 1 {
			t.Errorf("%s has %d package comments, want 1: %v", p.name, len(with), with)
		}
	}
}

// commented returns the files that have a package comment.
func commented(t *testing.T, folder string, files []string) []string {
	t.Helper()
	var with []string
	for _, file := range files {
		path := filepath.Join(folder, file)
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Doc != nil {
			with = append(with, path)
		}
	}
	return with
}
