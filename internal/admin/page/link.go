package page

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// The lines of a module that link understands. An import or an export of another form is a panic, which tests find.
var (
	importLine = regexp.MustCompile(`(?m)^import \{ ([^}]+) \} from '\./([a-z]+)\.js';\n`)
	exportLine = regexp.MustCompile(`(?m)^export (?:const|class|(?:async )?function) ([A-Za-z]+)`)
	otherLine  = regexp.MustCompile(`(?m)^(?:import|export)\b.*$`)
)

// link makes one script of a module and of those that it imports. Each is a function of its own, so that their names do not
// meet, and is called once, after the modules that it imports (as in ECMA-262, 16.2.1.6, without cycles).
func link(files fs.FS, first string) string {
	l := linker{files: files, state: map[string]linkState{}}
	l.add(first)
	return l.script.String()
}

type linkState int

const (
	unlinked linkState = iota
	linking            // those that it imports are being linked
	linked
)

type linker struct {
	files  fs.FS
	state  map[string]linkState
	script strings.Builder
}

func (l *linker) add(name string) {
	switch l.state[name] {
	case linked:
		return
	case linking:
		panic(fmt.Sprintf("%s.js imports itself, through others", name))
	}
	l.state[name] = linking
	data, err := fs.ReadFile(l.files, name+".js")
	if err != nil {
		panic(err)
	}
	text := string(data)
	for _, found := range importLine.FindAllStringSubmatch(text, -1) {
		l.add(found[2])
	}
	text = importLine.ReplaceAllString(text, "const { $1 } = $$$2;\n")
	var names []string
	for _, found := range exportLine.FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}
	text = exportLine.ReplaceAllStringFunc(text, func(line string) string { return strings.TrimPrefix(line, "export ") })
	if other := otherLine.FindString(text); other != "" {
		panic(fmt.Sprintf("%s.js has a line that cannot be linked: %s", name, other))
	}
	fmt.Fprintf(&l.script, "const $%s = (() => {\n%s\nreturn { %s };\n})();\n", name, strings.TrimSpace(text), strings.Join(names, ", "))
	l.state[name] = linked
}
