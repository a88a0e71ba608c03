package behaviour

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// With a configuration directory, an app is added by a file and removed with it. A bad file refuses the whole reload, is
// named, and changes nothing.
func TestReloadOfADirectory(t *testing.T) {
	for _, how := range []string{"signal", "auto", "command"} {
		t.Run(how, func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) {
				r := harness.New(t, engine)
				one, two := r.Identify("one"), r.Identify("two")
				first, second := r.Address(), r.Address()
				directory, socket := r.Path("conf.d"), r.Path("admin.sock")
				in := func(name string) string { return filepath.Join(directory, name) }
				must := func(err error) {
					t.Helper()
					if err != nil {
						t.Fatal(err)
					}
				}
				// put makes a complete file appear in the directory.
				put := func(name, text string) {
					t.Helper()
					must(os.WriteFile(r.Path("new"), []byte(text), 0o644))
					must(os.Rename(r.Path("new"), in(name)))
				}
				app := func(name, port string, target *harness.Target) string {
					text, err := json.Marshal(harness.Config{Apps: []harness.App{{Name: name, Ports: []any{port}, Targets: harness.To(target)}}})
					must(err)
					return string(text)
				}
				var p *harness.Proxy
				// reload makes the proxy read the directory, and waits for a message in the log that has all of the texts.
				reload := func(code int, says ...string) {
					t.Helper()
					before := p.Log.Len()
					switch how {
					case "auto": // the change was the request
						before = 0
					case "signal":
						p.Hangup()
					default:
						if result := harness.Run(t, "reload", "--socket", socket); result.Code != code {
							t.Errorf("exit code %d, want %d: %s", result.Code, code, result.Stderr)
						}
					}
					harness.Eventually(t, fmt.Sprintf("the log says %q", says), func() bool {
						return p.Log.CountAfter(before, func(l harness.Line) bool {
							text := fmt.Sprintf("%s, files %v, %v", l.Message, l.Fields["files"], l.Fields["changes"])
							return !slices.ContainsFunc(says, func(part string) bool { return !strings.Contains(text, part) })
						}) > 0
					})
				}
				expect := func(port, want string) {
					t.Helper()
					if name, err := r.Ask(port); err != nil || name != want {
						t.Errorf("%s leads to %q, %v, want %q", port, name, err, want)
					}
				}

				must(os.Mkdir(directory, 0o755))
				by := map[string]string{"signal": "signal", "auto": "auto", "command": "signal"}[how]
				base := fmt.Sprintf(`{"reload": %q, "admin": {"listen": ["unix:%s"]}}`, by, socket)
				put("00-base.json", base)
				put("10-first.json", app("first", first, one))
				p = r.Start(harness.Config{Apps: []harness.App{{Name: "first", Ports: []any{first}, Targets: harness.To(one)}}}, "--config-file", directory)
				if p.Log.Count(func(l harness.Line) bool { return harness.Ready(l) && strings.Contains(l.Raw, `"files":2`) }) != 1 {
					t.Error("the log does not have the number of files at the start")
				}
				expect(first, "one")

				const refused = "reload refused, keeping the current configuration: "
				put("20-second.json", app("second", second, two))
				put("20-second.json~", "what an editor leaves")
				reload(0, "reloaded: 2 apps, ", "files 3", "added second")
				expect(first, "one")
				expect(second, "two")

				put("15-bad.json", "\n"+app("first", second, one))
				reload(78, refused+in("15-bad.json")+":2:18: apps[0].name: ", " is taken by apps[0] at "+in("10-first.json")+":1:10")
				reload(78, refused+in("20-second.json")+":1:36: apps[0].ports[0]: ", ` of app "first", apps[0].ports[0] at `+in("15-bad.json")+":2:35")
				put("15-bad.json", "{")
				reload(78, refused+in("15-bad.json")+":1:2: the file ends here")
				expect(first, "one")
				expect(second, "two")

				put("15-bad.json", "{}")
				put("10-first.json", app("first", first, two))
				reload(0, "reloaded: 2 apps, ", "files 4", "changed first")
				expect(first, "two")

				must(os.Remove(in("20-second.json")))
				reload(0, "reloaded: 1 app, ", "files 3", "removed second")
				expect(first, "two")
				if harness.Listening(t, second) {
					t.Error("the port of the removed app still listens")
				}

				must(os.RemoveAll(directory))
				must(os.Mkdir(directory, 0o755))
				reload(78, refused+directory+": is a directory without a configuration file")
				expect(first, "two")

				// A link to another directory replaces all files at once.
				must(os.Mkdir(r.Path("whole"), 0o755))
				must(os.WriteFile(r.Path("whole/00-base.json"), []byte(base), 0o644))
				must(os.WriteFile(r.Path("whole/10-first.json"), []byte(app("first", first, one)), 0o644))
				must(os.RemoveAll(directory))
				must(os.Symlink("whole", directory))
				reload(0, "reloaded: 1 app, ", "files 2", "changed first")
				expect(first, "one")
			})
		})
	}
}
