package behaviour

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// With "reload": "auto" a change of the file is a reload, however it is made; a mistake is logged and changes nothing;
// and a file that means the same is no reload.
func TestReloadWhenTheFileChanges(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		targets := []*harness.Target{r.Identify("one"), r.Identify("two")}
		port := r.Address()
		text := func(reload string, target int) string {
			data, err := json.Marshal(harness.Config{Engine: engine, Reload: reload,
				Apps: []harness.App{{Name: "a", Ports: []any{port}, Targets: harness.To(targets[target])}}})
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		p := r.Start(harness.Config{Reload: "auto", Apps: []harness.App{{Name: "a", Ports: []any{port}, Targets: harness.To(targets[0])}}})
		path := r.Path("config.json")
		becomes := func(name, how string) {
			t.Helper()
			harness.Eventually(t, how+" has new sessions go to "+name, func() bool {
				got, err := r.Ask(port)
				return err == nil && got == name
			})
		}
		entries := func(text string) int {
			return p.Log.Count(func(l harness.Line) bool { return strings.HasPrefix(l.Message, text) })
		}
		write := func(path, text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write(path, text("auto", 1))
		becomes("two", "writing the file")
		write(path+".new", text("auto", 0))
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		becomes("one", "a rename")

		folder := filepath.Dir(path)
		for i, name := range []string{"two", "one"} {
			version := []string{"..v1", "..v2"}[i]
			if err := os.Mkdir(filepath.Join(folder, version), 0o755); err != nil {
				t.Fatal(err)
			}
			write(filepath.Join(folder, version, "config.json"), text("auto", 1-i))
			for _, link := range [][2]string{{version, "..data"}, {"..data/config.json", "config.json"}} {
				if err := os.Symlink(link[0], filepath.Join(folder, "..new")); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(folder, "..new"), filepath.Join(folder, link[1])); err != nil {
					t.Fatal(err)
				}
			}
			becomes(name, "a swap of links")
		}

		write(path, "not a configuration")
		harness.Eventually(t, "a mistake is logged", func() bool { return entries("reload refused") == 1 })
		if name, err := r.Ask(port); err != nil || name != "one" {
			t.Errorf("after a mistake: %q, %v", name, err)
		}
		write(path, text("auto", 0))
		harness.Eventually(t, "the mistake is mended", func() bool { return entries("reloaded") == 5 })
		write(path, " // the same, in other words\n"+text("auto", 0))
		write(path, text("signal", 1))
		becomes("two", "switching it off")
		harness.Eventually(t, "six reloads are logged", func() bool { return entries("reloaded") == 6 })
	})
}
