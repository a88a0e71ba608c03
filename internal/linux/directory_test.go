package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadNames(t *testing.T) {
	dir := t.TempDir()
	if names, err := ReadNames(dir, 3); err != nil || len(names) != 0 {
		t.Errorf("an empty directory: %q, %v", names, err)
	}
	for _, name := range []string{"b", ".a", "C"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := ReadNames(dir, 3); err != nil || !slices.Equal(names, []string{".a", "C", "b"}) {
		t.Errorf("%q, %v", names, err)
	}
	var unfit *Unfit
	if names, err := ReadNames(dir, 2); !errors.As(err, &unfit) || unfit.Why != "has more than 2 entries" || names != nil {
		t.Errorf("above the limit: %q, %v", names, err)
	}
	if _, err := ReadNames(filepath.Join(dir, "none"), 3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing one: %v", err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadNames(fifo, 3); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a FIFO: %v", err)
	}
}

func TestKindsOfPaths(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(in("file"), nil, 0o600), os.Symlink("none", in("broken")), os.Symlink("broken", in("twice")),
		os.Symlink("file", in("link")), os.Symlink(".", in("dot")), os.Symlink("loop", in("loop"))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "directory", "dot": "directory", "file": "", "link": "", "none": "", "loop": "",
		"broken": "broken to none", "twice": "broken to broken"} {
		got := ""
		if IsDirectory(in(name)) {
			got = "directory"
		}
		if to, ok := BrokenLink(in(name)); ok {
			got += fmt.Sprint("broken to ", to)
		}
		if got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}
