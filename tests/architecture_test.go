package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const architectureDoc = "../ARCHITECTURE.md"

var (
	quoted      = regexp.MustCompile("`([^`\n]+)`")
	goFile      = regexp.MustCompile(`^(?:([\w/.-]+)/)?([\w-]+\.go)(?::([\w.]+))?$`)
	packagePath = regexp.MustCompile(`^(?:cmd|internal|tests)/[\w/-]+$`)
	declared    = regexp.MustCompile(`^[a-zA-Z]\w*\.\w+$`)
)

// Every package in ARCHITECTURE.md exists. So does every file: a path from the top of the repository, or a file of one of
// the packages that its section names. Every function after a file is declared in it.
func TestArchitectureNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile(architectureDoc)
	if err != nil {
		t.Fatal(err)
	}
	located := 0
	for _, section := range strings.Split(string(text), "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		var packages, files []string
		for _, q := range quoted.FindAllStringSubmatch(section, -1) {
			if goFile.MatchString(q[1]) {
				files = append(files, q[1])
			} else if name := packageOf(q[1]); name != "" {
				packages = append(packages, name)
			}
		}
		for _, f := range files {
			m := goFile.FindStringSubmatch(f)
			folder, name, function := m[1], m[2], m[3]
			found := ""
			switch {
			case folder != "":
				found = existing(path.Join(folder, name))
			default:
				for _, p := range packages {
					if found == "" {
						found = existing(path.Join(p, name))
					}
				}
			}
			switch {
			case found == "":
				t.Errorf("section %q names %s, which does not exist", title, f)
			case function != "" && !declares(t, found, function):
				t.Errorf("section %q names %s, which does not declare %s", title, f, function)
			case function != "":
				located++
			}
		}
	}
	if located < 10 {
		t.Errorf("only %d functions are named with their file: is the section \"Where to find\" gone?", located)
	}
}

// packageOf returns the folder of a package that is named by its path, or that a qualified identifier such as
// `config.Load` begins with; "" if it is neither.
func packageOf(text string) string {
	if packagePath.MatchString(text) {
		return text
	}
	if name, _, ok := strings.Cut(text, "."); ok && declared.MatchString(text) && existing("internal/"+name) != "" {
		return "internal/" + name
	}
	return ""
}

// existing returns the path of a file or folder from here, if there is one.
func existing(name string) string {
	p := filepath.Join("..", filepath.FromSlash(name))
	if _, err := os.Stat(p); err != nil {
		return ""
	}
	return p
}

// declares reports whether a Go file declares a function, method (Type.Method), type, variable or constant.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if receiverOf(d)+d.Name.Name == name {
				return true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.Name == name {
						return true
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.Name == name {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// receiverOf returns the type of the receiver of a method and a dot, or "".
func receiverOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	of := d.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

// Every package of the program is in the first table of ARCHITECTURE.md, itself or as a part of one above it.
func TestArchitectureHasEveryPackage(t *testing.T) {
	text, err := os.ReadFile(architectureDoc)
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(text), "\n## Where to find")
	for _, p := range packages(t) {
		if !below("cmd", "internal")(p.name) {
			continue
		}
		listed := false
		for _, q := range quoted.FindAllStringSubmatch(table, -1) {
			listed = listed || under(p.name, q[1])
		}
		if !listed {
			t.Errorf("the table of packages does not have %s", p.name)
		}
	}
}
