package behaviour

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

// unfit are ways to put something in the place of the configuration that is no configuration, and what the log then says.
var unfit = []struct {
	name, says string
	put        func(path string) error
}{
	{"a FIFO", "is a pipe or FIFO, not a regular file", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
	{"a device", "is a device, not a regular file", func(path string) error { return os.Symlink("/dev/full", path) }},
	{"an empty directory", "is a directory without a configuration file", func(path string) error { return os.Mkdir(path, 0o700) }},
	{"a huge file", "is larger than 16 MiB", func(path string) error {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return file.Truncate(1 << 40)
	}},
	{"many mistakes", "and 199901 more errors", func(path string) error {
		return os.WriteFile(path, []byte("{"+strings.Repeat(`"engine":"",`, 200_000)+"}"), 0o600)
	}},
}

// Whatever stands in the place of the file: a reload is refused with a bounded number of entries in the log, and the
// proxy serves, reloads and stops as before.
func TestReloadOfWhatIsNoFile(t *testing.T) {
	for _, how := range []string{"signal", "auto"} {
		t.Run(how, func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) {
				r := harness.New(t, engine)
				target := r.Identify("target")
				config := harness.Config{Reload: how, Apps: []harness.App{{Name: "a", Ports: []any{r.Address()}, Targets: harness.To(target)}}}
				p := r.Start(config)
				path := r.Path("config.json")
				for _, bad := range unfit {
					put := path + ".new"
					if err := bad.put(put); err != nil {
						t.Fatal(err)
					}
					if err := os.RemoveAll(path); err != nil {
						t.Fatal(err)
					}
					if err := os.Rename(put, path); err != nil {
						t.Fatal(err)
					}
					if how == "signal" {
						p.Hangup()
					}
					harness.Eventually(t, bad.name+" is refused", func() bool {
						return p.Log.Count(func(l harness.Line) bool {
							return strings.HasPrefix(l.Message, "reload refused") && strings.Contains(l.Message, path+": "+bad.says)
						}) > 0
					})
					if name, err := r.Ask(p.Address()); err != nil || name != "target" {
						t.Errorf("after %s: %q, %v", bad.name, name, err)
					}
				}
				// With "auto" a reload may have come between the removal and the rename, and one entry more.
				refused := p.Log.Count(func(l harness.Line) bool { return strings.HasPrefix(l.Message, "reload refused") })
				if least, most := len(unfit)+100, 2*len(unfit)+100; refused < least || refused > most {
					t.Errorf("%d entries, want %d to %d", refused, least, most)
				}
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				config.MaxWorkers = 60
				p.Reload(config)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := syscall.Mkfifo(path, 0o600); err != nil {
					t.Fatal(err)
				}
				p.Hangup()
				if code := p.Stop(); code != 0 {
					t.Errorf("stopped with a FIFO in place of the file: exit code %d", code)
				}
			})
		})
	}
}
