package watch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// hears waits for the next value.
func hears(t *testing.T, f *File, what string) {
	t.Helper()
	select {
	case <-f.Changed:
	case <-time.After(patience):
		t.Fatalf("%s is not told", what)
	}
}

// silent wants that nothing is told of what was done. Whatever comes after it in the test is told behind it.
func silent(t *testing.T, f *File, what string) {
	t.Helper()
	select {
	case <-f.Changed:
		t.Fatalf("%s is told", what)
	case <-time.After(3 * settle):
	}
}

func watched(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	hears(t, f, "the start")
	return f
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }

func TestAFileThatIsWrittenOrReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	must(t, write(path, "one"))
	f := watched(t, path)
	must(t, write(path, "two"))
	hears(t, f, "writing in place")
	must(t, write(path+".new", "three"), os.Rename(path+".new", path))
	hears(t, f, "a rename over it")
	must(t, write(path, "three"), write(path+".other", "x"))
	silent(t, f, "the same content, or another file")
	must(t, os.Rename(path, path+"~"))
	hears(t, f, "that it is gone")
	must(t, write(path, "four"))
	hears(t, f, "that it is back")
	for _, text := range []string{"5", "56", "567", "5678"} {
		must(t, write(path, text))
	}
	hears(t, f, "writing in steps")
}

// What Kubernetes mounts: the file is a link through the link "..data", which is replaced by a rename.
func TestALinkThatIsSwapped(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	must(t,
		os.Mkdir(filepath.Join(dir, "..1"), 0o755), write(filepath.Join(dir, "..1", "config.json"), "one"),
		os.Symlink("..1", filepath.Join(dir, "..data")), os.Symlink("..data/config.json", path))
	f := watched(t, path)
	for _, next := range []string{"..2", "..3"} {
		must(t, os.Mkdir(filepath.Join(dir, next), 0o755), write(filepath.Join(dir, next, "config.json"), next),
			os.Symlink(next, filepath.Join(dir, "..new")), os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")))
		hears(t, f, "the swap to "+next)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
	must(t, write(filepath.Join(dir, "..3", "config.json"), "in place"))
	hears(t, f, "writing behind the links")
}

func TestAFolderThatComesLate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "config.json")
	f := watched(t, path)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), write(path, "one"))
	hears(t, f, "the file in a folder that was not there")
	must(t, os.RemoveAll(filepath.Join(dir, "a")))
	hears(t, f, "that the folder is gone")
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), write(path, "two"))
	hears(t, f, "that the folder is back")
}

func TestLinksInACircle(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	must(t, os.Symlink("other", path), os.Symlink("config.json", filepath.Join(dir, "other")))
	f := watched(t, path)
	must(t, os.Remove(path), write(path, "one"))
	hears(t, f, "that the circle is cut")
}
