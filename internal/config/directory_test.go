package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/testkit"
)

// directoryOf returns a directory with files of the given content.
func directoryOf(t testing.TB, contents map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// appNamed returns a file of one app.
func appNamed(name string, port int) string {
	return fmt.Sprintf(`{"apps": [{"name": %q, "ports": [%d], "targets": ["h:1"]}]}`, name, port)
}

// A directory means the same as one file with its apps in the order of the names, and the other settings of all files, also
// where defaults are read after apps.
func TestDirectory(t *testing.T) {
	directory := directoryOf(t, map[string]string{
		"20-web.json":         "// web\n" + `{"apps": [{"name": "web", "ports": [1, "3-4"], "targets": ["h:1"]}, {"ports": [2], "targets": ["h:2"]}]}`,
		"10-db.json":          "\uFEFF" + appNamed("db", 5432),
		"30-base.json":        `{"Max_Workers": 7, "log": {"level": "debug"}, "admin": {"listen": ["127.0.0.1:9901"]}}`,
		"defaults.json":       `{"defaults": {"idle_timeout": "5m"},}`,
		"empty.json":          `{}`,
		"no-apps.json":        `{"apps": []}`,
		"web.json~":           "broken",
		"web.json.dpkg-new":   "broken",
		"web.json.rpmsave":    "broken",
		".web.json":           "broken",
		".json":               "broken",
		"web.JSON":            "broken",
		"#web.json#":          "broken",
		"README":              "broken",
		"web.json.20261128.x": "broken",
	})
	if err := os.Mkdir(filepath.Join(directory, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := Load(directory + "/")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse("f", []byte(`{"max_workers": 7, "log": {"level": "debug"}, "admin": {"listen": ["127.0.0.1:9901"]}, "defaults": {"idle_timeout": "5m"},
		"apps": [{"name": "db", "ports": [5432], "targets": ["h:1"]}, {"name": "web", "ports": [1, "3-4"], "targets": ["h:1"]},
			{"ports": [2], "targets": ["h:2"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got, sameConfig); diff != "" {
		t.Errorf("-one file +directory:\n%s", diff)
	}
	paths := []string{"10-db.json", "20-web.json", "30-base.json", "defaults.json", "empty.json", "no-apps.json"}
	for i := range paths {
		paths[i] = filepath.Join(directory, paths[i])
	}
	if !slices.Equal(got.Files(), paths) {
		t.Errorf("files %q, want %q", got.Files(), paths)
	}
	unread, ok := got.FromDirectory()
	if want := []string{"#web.json#", "README", "sub", "web.JSON", "web.json.20261128.x", "web.json.dpkg-new", "web.json.rpmsave", "web.json~"}; !ok || !slices.Equal(unread, want) {
		t.Errorf("not read: %q, want %q", unread, want)
	}
	for app, file := range []int{0, 1, 1} {
		if got.FileOf(app) != paths[file] {
			t.Errorf("app %d is in %s, want %s", app, got.FileOf(app), paths[file])
		}
	}
	for _, test := range []struct{ path, want string }{
		{got.PortPath(0, 0), paths[0] + `:1:36: apps[0].ports[0]: x`},
		{got.PortPath(1, 2), paths[1] + `:2:40: apps[0].ports[1]: x`},
		{"apps[2].targets[0]", paths[1] + `:2:96: apps[1].targets[0]: x`},
		{"apps[2].name", paths[1] + `:2:69: apps[1].name: x`},
		{"log.format", paths[2] + `:1:27: log.format: x`},
		{"max_workers", paths[2] + `:1:17: max_workers: x`},
		{"defaults", paths[3] + `:1:14: defaults: x`},
		{"engine", directory + `/: engine: x`},
		{"apps", directory + `/: apps: x`},
		{"apps[3]", directory + `/: apps[3]: x`},
		{"", directory + `/: x`},
	} {
		if e := got.Errorf(test.path, "x"); e.Error() != test.want {
			t.Errorf("Errorf(%q):\ngot  %v\nwant %v", test.path, e, test.want)
		}
	}
	if e := got.Errorf("apps[1]", "x: %w", fs.ErrInvalid); !errors.Is(e, fs.ErrInvalid) {
		t.Error("the cause is lost")
	}
}

// Errors name the file, and both files if a rule involves two. D stands for the directory.
func TestDirectoryErrors(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"empty": {nil, []string{`D: is a directory without a configuration file: it needs at least one with a name like web.json`}},
		"nothing that is read": {map[string]string{"web.json~": "{}", ".hidden.json": "{}"},
			[]string{`D: is a directory without a configuration file: it needs at least one with a name like web.json; "web.json~" is not read`}},
		"much that is not read": {map[string]string{"a": "", "b": "", "c": ""},
			[]string{`D: is a directory without a configuration file: it needs at least one with a name like web.json; "a" and 2 more are not read`}},
		"no apps":       {map[string]string{"a.json": "{}", "b.json": `{"log": {}}`}, []string{`D: none of its files has "apps"`}},
		"empty apps":    {map[string]string{"a.json": "{}", "b.json": `{"apps": []}`}, []string{`D: apps: must have at least one app`}},
		"apps mistyped": {map[string]string{"a.json": "{}", "b.json": `{"appss": []}`}, []string{`D/b.json:1:2: unknown key "appss" (did you mean "apps"?)`}},
		"bad apps":      {map[string]string{"a.json": `{"apps": {}}`}, []string{`D/a.json:1:10: apps: must be an array, not an object`}},
		"no objects": {map[string]string{"a.json": "[]", "b.json": appNamed("b", 1), "c.json": `"text"`},
			[]string{`D/a.json:1:1: must be an object, not an array`, `D/c.json:1:1: must be an object, not a string`}},
		"syntax": {map[string]string{"a.json": "{\n", "b.json": appNamed("a", 0), "c.json": "", "d.json": "{}\n}"}, []string{
			`D/a.json:2:1: the file ends here, but the '{' of line 1, column 1 is still open`,
			`D/c.json:1:1: the file has no configuration: a small one is {"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"]}]}`,
			`D/d.json:2:1: expected the end of the file after the configuration, found '}'`,
		}},
		"one bad file of three": {map[string]string{"a.json": appNamed("a", 1), "b.json": "{\n\"appz\": 1,\n" + appNamed("b", 70000)[1:], "c.json": appNamed("c", 3)}, []string{
			`D/b.json:2:1: unknown key "appz" (did you mean "apps"?)`,
			`D/b.json:3:34: apps[0].ports[0]: must be a whole number from 1 to 65535, not 70000`,
		}},
		"a setting twice": {map[string]string{"a.json": "\n{\"log\": {}, \"Max_workers\": 1}", "b.json": appNamed("b", 1), "c.json": "{\"LOG\": {},\n\"max_workers\": 1}"}, []string{
			`D/c.json:1:2: "LOG" is already at D/a.json:2:2: a setting other than "apps" stands in one file of the directory only`,
			`D/c.json:2:1: "max_workers" is already at D/a.json:2:13: a setting other than "apps" stands in one file of the directory only`,
		}},
		"a setting twice in a file": {map[string]string{"a.json": `{"reload": "auto", "reload": "auto"}`, "b.json": `{"apps": [], "Apps": [], "x": 1, "x": 1}`, "c.json": appNamed("c", 1)}, []string{
			`D/a.json:1:20: duplicate key "reload": "reload" is already at line 1, column 2`,
			`D/b.json:1:14: duplicate key "Apps": "apps" is already at line 1, column 2`,
			`D/b.json:1:26: unknown key "x"`, `D/b.json:1:34: unknown key "x"`,
		}},
		"a name twice": {map[string]string{"a.json": appNamed("web", 1), "b.json": `{"apps": [{"name": "x", "ports": [2], "targets": ["h:1"]},` + "\n" + appNamed("web", 3)[10:]},
			[]string{`D/b.json:2:10: apps[1].name: the name "web" is taken by apps[0] at D/a.json:1:11`}},
		"a default name twice": {map[string]string{"a.json": appNamed("port-2", 1), "b.json": `{"apps": [{"ports": [2], "targets": ["h:1"]}]}`},
			[]string{`D/b.json:1:11: apps[0]: has no "name", and its default name "port-2" is taken by apps[0] at D/a.json:1:11`}},
		"a port twice": {map[string]string{"a.json": appNamed("a", 1), "b.json": appNamed("b", 5), "c.json": `{"apps": [{"name": "c", "ports": ["4-6"], "targets": ["h:1"]}]}`, "d.json": `{"admin": {"listen": ["127.0.0.1:1"]}}`}, []string{
			`D/c.json:1:35: apps[0].ports[0]: 4-6 is taken by 5 of app "b", apps[0].ports[0] at D/b.json:1:35`,
			`D/d.json:1:23: admin.listen[0]: 127.0.0.1:1 is taken by 1 of app "a", apps[0].ports[0] at D/a.json:1:35`,
		}},
		"a target twice": {map[string]string{"a.json": appNamed("a", 1), "b.json": `{"apps": [{"ports": [2], "targets": ["h:1", "h:1"]}]}`},
			[]string{`D/b.json:1:45: apps[0].targets[1]: h:1 is already a target, apps[0].targets[0] at line 1, column 38: to give it more sessions, set a "weight"`}},
		"defaults and apps in two files": {map[string]string{"a.json": appNamed("a", 1), "b.json": `{"defaults": {"on_dead": "close"}}`},
			[]string{`D/b.json:1:14: defaults: on_dead "close" needs probes to find a target dead: probe.when must be "always", not "dead"`}},
	} {
		t.Run(name, func(t *testing.T) {
			directory := directoryOf(t, test.files)
			c, err := Load(directory)
			got := strings.ReplaceAll(fmt.Sprint(err), directory, "D")
			if want := strings.Join(test.want, "\n"); got != want || c != nil {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What is named like a file of the configuration, but cannot be read, is an error that names it; the other files are checked
// for their syntax all the same. Nothing is waited for.
func TestDirectoryWithOddEntries(t *testing.T) {
	directory := directoryOf(t, map[string]string{"a.json": appNamed("a", 1), "z.json": "{"})
	in := func(name string) string { return filepath.Join(directory, name) }
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	huge, err := os.Create(in("huge.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(huge.Truncate(MaxSize+1), huge.Close(), unix.Bind(socket, &unix.SockaddrUnix{Name: in("socket.json")}), unix.Mkfifo(in("fifo.json"), 0o600),
		os.Mkdir(in("sub.json"), 0o700), os.Symlink("none", in("link.json")), os.Symlink("loop.json", in("loop.json")), os.Symlink("/dev/full", in("device.json"))); err != nil {
		t.Fatal(err)
	}
	_, err = Load(directory)
	const odd = ", not a regular file: every *.json of a configuration directory is a regular file of at most 16 MiB\n"
	want := "D/device.json: is a device" + odd +
		"D/fifo.json: is a pipe or FIFO" + odd +
		"D/huge.json: is larger than 16 MiB: every *.json of a configuration directory is a regular file of at most 16 MiB\n" +
		"D/link.json: is a symbolic link that leads nowhere: none does not exist\n" +
		"D/loop.json: cannot be read: too many levels of symbolic links\n" +
		"D/socket.json: is a socket" + odd +
		"D/sub.json: is a directory" + odd +
		"D/z.json:1:2: the file ends here, but the '{' of line 1, column 1 is still open"
	if got := strings.ReplaceAll(fmt.Sprint(err), directory, "D"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var errs Errors
	if !errors.As(err, &errs) || !errors.Is(err, unix.ELOOP) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%#v is not Errors with their causes", err)
	}
}

// Files may be links, as in a volume of Kubernetes, and the directory too.
func TestDirectoryOfLinks(t *testing.T) {
	real := directoryOf(t, map[string]string{"a": appNamed("a", 1)})
	directory := t.TempDir()
	if err := errors.Join(os.Symlink(real, filepath.Join(directory, "..data")), os.Symlink("..data/a", filepath.Join(directory, "a.json")),
		os.Symlink(directory, real+"/conf.d")); err != nil {
		t.Fatal(err)
	}
	c, err := Load(real + "/conf.d")
	if err != nil {
		t.Fatal(err)
	}
	if unread, _ := c.FromDirectory(); len(unread) != 0 || c.FileOf(0) != real+"/conf.d/a.json" {
		t.Errorf("%s, not read %q", c.FileOf(0), unread)
	}
}

// The limits of a directory are those of one file in all, and a number of files and entries.
func TestDirectoryLimits(t *testing.T) {
	fill := func(directory string, n int, suffix string) {
		t.Helper()
		for i := range n {
			if err := os.WriteFile(filepath.Join(directory, fmt.Sprintf("%05d%s", i, suffix)), []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused := func(directory, want string) {
		t.Helper()
		var one Error
		if _, err := Load(directory); !errors.As(err, &one) || err.Error() != directory+want {
			t.Errorf("got %.300v, want %s", err, want)
		}
	}
	many := directoryOf(t, nil)
	fill(many, MaxFiles-1, ".json")
	fill(many, 10, ".txt")
	if err := os.WriteFile(filepath.Join(many, "web.json"), []byte(appNamed("a", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(many); err != nil || len(c.Files()) != MaxFiles {
		t.Error(err)
	}
	fill(many, MaxFiles, ".json")
	refused(many, ": has more than 1024 files: that is the limit of a configuration directory")

	half := "{" + strings.Repeat(" ", MaxSize/2-2) + "}"
	large := directoryOf(t, map[string]string{"a.json": half, "c.json": appNamed("c", 1), "b.json": half[:1] + half[1+len(appNamed("c", 1)):]})
	if _, err := Load(large); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(large, "d.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(large, ": its files are larger than 16 MiB in all, the limit of a configuration; d.json exceeds it")

	values := `{"apps": [` + strings.Repeat("1,", maxValues/2) + "]}"
	several := directoryOf(t, map[string]string{"a.json": values, "b.json": values, "c.json": "{"})
	if _, err := Load(several); err == nil || !strings.HasPrefix(err.Error(), several+"/b.json:1:") || !strings.Contains(err.Error(), ": exceeds the limit of 1000000 keys and values\n"+several+"/c.json:") {
		t.Errorf("%.300v", err)
	}

	entries := directoryOf(t, nil)
	fill(entries, maxEntries+1, "")
	refused(entries, ": has more than 10000 entries: a configuration directory has at most 1024 files")
}

// Of errors in many files the first hundred are reported, and the number of the others.
func TestManyErrorsInADirectory(t *testing.T) {
	for content, what := range map[string]string{"{": "syntax", `{"x": 1}`: "unknown keys"} {
		contents := map[string]string{}
		for i := range 250 {
			contents[fmt.Sprintf("%03d.json", i)] = content
		}
		directory := directoryOf(t, contents)
		_, err := Load(directory)
		var errs Errors
		if !errors.As(err, &errs) || len(errs) != MaxErrors+1 || errs.count() < 250 || errs.count() > 251 || errs[99].File != directory+"/099.json" && what == "syntax" {
			t.Errorf("%s: %d errors, of %d: %.300v", what, len(errs), errs.count(), err)
		}
		checkBounds(t, err)
	}
}

// Files that appear and vanish while the directory is read: it is read until two readings in a row are the same.
func TestDirectoryThatChanges(t *testing.T) {
	times := 0
	changing := func(until int) func(string) (*reading, error) {
		times = 0
		return func(path string) (*reading, error) {
			times++
			return &reading{parts: []part{{path: path + "/a.json", data: []byte(appNamed("a", min(times, until)))}}}, nil
		}
	}
	c, err := loadDirectory("d", changing(5))
	if err != nil || times != 6 || c.Apps[0].Ports[0].Addr.Port() != 5 {
		t.Errorf("read %d times: %v, %v", times, c, err)
	}
	_, err = loadDirectory("d", changing(1000))
	if want := "d: has changed each of the 10 times it was read: try again when its files stay as they are"; err == nil || err.Error() != want || times != mostReadings {
		t.Errorf("read %d times: %v, want %s", times, err, want)
	}
	_, err = loadDirectory(filepath.Join(t.TempDir(), "gone"), readDirectory)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that vanishes: %v", err)
	}
}

// While the link that all files go through is swapped to ever new versions, no configuration is loaded that has files of two.
func TestDirectoryWhoseLinkIsSwapped(t *testing.T) {
	directory := t.TempDir()
	in := func(path ...string) string { return filepath.Join(append([]string{directory}, path...)...) }
	const files = 20
	name := func(i int) string { return fmt.Sprintf("%02d.json", i) }
	swap := func(version int) error {
		folder := fmt.Sprintf("..v%d", version)
		errs := []error{os.Mkdir(in(folder), 0o700)}
		for i := range files {
			errs = append(errs, os.WriteFile(in(folder, name(i)), []byte(appNamed(fmt.Sprintf("v%d-%d", version, i), 1+i)), 0o600))
		}
		return errors.Join(append(errs, os.Symlink(folder, in("..new")), os.Rename(in("..new"), in("..data")),
			os.RemoveAll(in(fmt.Sprintf("..v%d", version-1))))...)
	}
	if err := swap(0); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		if err := os.Symlink("..data/"+name(i), in(name(i))); err != nil {
			t.Fatal(err)
		}
	}
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for version := 1; ; version++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := swap(version); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 100 {
		c, err := Load(directory)
		var one Error
		switch {
		case err == nil:
			for i, a := range c.Apps {
				version, _, _ := strings.Cut(c.Apps[0].Name, "-")
				if want := fmt.Sprintf("%s-%d", version, i); len(c.Apps) != files || a.Name != want {
					t.Errorf("%d apps, of which one is %s, want %s", len(c.Apps), a.Name, want)
				}
			}
		case !errors.As(err, &one) || !strings.Contains(one.Text, "has changed each of the 10 times"):
			t.Error(err)
		}
	}
	close(stop)
	if err := testkit.Receive(t, "the swaps end", done); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(directory); err != nil {
		t.Errorf("after the swaps: %v", err)
	}
}

// Sum differs for every change of what is read, and for nothing else.
func TestSum(t *testing.T) {
	directory := directoryOf(t, map[string]string{"a.json": "{}", "b.json": "ab"})
	in := func(name string) string { return filepath.Join(directory, name) }
	seen := map[[32]byte]string{}
	step := func(what string, changes bool, errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		sum := Sum(directory)
		if before, ok := seen[sum]; ok == changes {
			t.Errorf("%s: changed is %v (%s)", what, !ok, before)
		}
		seen[sum] = what
	}
	step("the start", true)
	step("what is not read", false, os.WriteFile(in("c"), nil, 0o600), os.Mkdir(in("sub"), 0o700), os.Mkdir(in(".json"), 0o700))
	step("a content", true, os.WriteFile(in("a.json"), []byte("{} "), 0o600))
	step("a name", true, os.Rename(in("b.json"), in("c.json")))
	step("a new file", true, os.WriteFile(in("d.json"), nil, 0o600))
	step("a link that leads nowhere", true, os.Symlink("none", in("e.json")))
	step("a removal", true, os.Remove(in("d.json")))
	step("an empty directory", true, os.RemoveAll(directory), os.Mkdir(directory, 0o700))
	step("no directory", true, os.Remove(directory))
	step("a file", true, os.WriteFile(directory, []byte("{}"), 0o600))
	step("another file", true, os.WriteFile(directory, []byte("{} "), 0o600))
}

// For any contents of several files: no panic; errors are bounded, in files of the directory, in their order, and at places
// that these have; what is accepted is within the limits, and the same when it is parsed again.
func FuzzDirectory(f *testing.F) {
	const between = "\n---\n"
	f.Add("{}" + between + appNamed("a", 1))
	f.Add(appNamed("a", 1) + between + appNamed("a", 1) + between + `{"log": {}, "apps": {}}`)
	f.Add(`{"log": {}}` + between + "\uFEFF" + `{"log": {}, "LOG": 1, "x": 1}` + between + "[]")
	f.Add(`{"defaults": {"on_dead": "close"}}` + between + appNamed("a", 70000) + between + "{")
	f.Add(`{"appss": 1}` + between + `{"apps": [1, {}]}` + between + `{"apps": [2]}`)
	invalid := slices.SortedFunc(maps.Values(testFiles(f, "invalid")), bytes.Compare)
	f.Add(string(bytes.Join(invalid, []byte(between))))
	f.Fuzz(func(t *testing.T, text string) {
		r := &reading{}
		contents := map[string]string{}
		for i, content := range strings.SplitN(text, between, 50) {
			p := part{path: fmt.Sprintf("d/%02d.json", i), data: []byte(content)}
			contents[p.path] = content
			r.parts = append(r.parts, p)
		}
		c, err := r.parse("d")
		again, errAgain := r.parse("d")
		if err == nil {
			if diff := gocmp.Diff(c, again, sameConfig); diff != "" {
				t.Fatalf("parsed twice:\n%s", diff)
			}
			checkLimits(t, c)
			return
		}
		if errAgain == nil || errAgain.Error() != err.Error() || c != nil {
			t.Fatalf("parsed twice: %v\n%v", err, errAgain)
		}
		checkBounds(t, err)
		var errs Errors
		_ = errors.As(err, &errs) // checkBounds checks it
		byFile := map[string]Errors{}
		for _, e := range errs {
			if e.File != "d" {
				byFile[e.File] = append(byFile[e.File], e)
			} else if e.Line != 0 {
				t.Fatalf("a place in no file: %v", e)
			}
		}
		for file, errs := range byFile {
			content, ok := contents[file]
			if !ok {
				t.Fatalf("no such file: %v", errs[0])
			}
			checkPlacesIn(t, file, content, errs)
		}
		if !slices.IsSortedFunc(slices.DeleteFunc(errs, func(e Error) bool { return e.File == "d" }), func(a, b Error) int { return cmp.Compare(a.File, b.File) }) {
			t.Fatalf("not in the order of the files: %v", err)
		}
	})
}
