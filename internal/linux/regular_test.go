package linux

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadRegular(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	write := func(name string, size int) string {
		if err := os.WriteFile(at(name), bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	for _, size := range []int{0, 1, 511, 512, 513, 4096} {
		if data, err := ReadRegular(write("file", size), 4096); err != nil || len(data) != size {
			t.Errorf("a file of %d bytes: %d, %v", size, len(data), err)
		}
	}
	if err := unix.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(os.Symlink("fifo", at("link")), os.Truncate(write("sparse", 0), 1<<40)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		folder:              "is a directory, not a regular file",
		at("fifo"):          "is a pipe or FIFO, not a regular file",
		at("link"):          "is a pipe or FIFO, not a regular file",
		at("socket"):        "is a socket, not a regular file",
		"/dev/full":         "is a device, not a regular file",
		"/dev/zero":         "is a device, not a regular file",
		write("long", 4097): "is larger than 4096 bytes",
		at("sparse"):        "is larger than 4096 bytes",
		"/proc/self/smaps":  "is larger than 4096 bytes", // its size is 0
	} {
		data, err := ReadRegular(path, 4096)
		var unfit *Unfit
		if !errors.As(err, &unfit) || unfit.Path != path || unfit.Why != want || data != nil {
			t.Errorf("%s: %d bytes, %v, want that it %s", path, len(data), err, want)
		}
	}
	if _, err := ReadRegular(at("sparse"), 1<<20); err == nil || !strings.HasSuffix(err.Error(), "sparse is larger than 1 MiB") {
		t.Error(err)
	}
	var missing *fs.PathError
	if _, err := ReadRegular(at("none"), 1); !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if data, err := ReadRegular("/proc/self/stat", 4096); err != nil || len(data) == 0 {
		t.Errorf("a file without a size: %q, %v", data, err)
	}
}

// A file that keeps growing while it is read is read up to the limit.
func TestReadRegularOfAFileThatGrows(t *testing.T) {
	const limit = 1 << 20
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(make([]byte, limit+1)); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(file.Name(), unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, size := range []int{0, 100, limit} { // its size before the read
		if _, err := unix.Seek(fd, 0, 0); err != nil {
			t.Fatal(err)
		}
		data, err := readAll(fd, file.Name(), size, limit)
		var unfit *Unfit
		if !errors.As(err, &unfit) || data != nil {
			t.Errorf("grown from %d bytes: %d, %v", size, len(data), err)
		}
		if at, _ := unix.Seek(fd, 0, 1); at != limit+1 {
			t.Errorf("grown from %d bytes: read to %d", size, at)
		}
	}
}
