package watch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// content reads regular files of at most 1,000 bytes, and of a directory those with the name *.part.
var content = Content{Sum: sumOf, Part: func(name string) bool { return strings.HasSuffix(name, ".part") }}

func sumOf(path string) [sha256.Size]byte {
	data, err := linux.ReadRegular(path, 1000)
	paths, _ := filepath.Glob(filepath.Join(path, "*.part"))
	for _, path := range paths {
		sum := sumOf(path)
		data = append(append(data, path...), sum[:]...)
	}
	return sha256.Sum256(fmt.Append(data, err))
}

// expectChange waits for the next value.
func expectChange(t *testing.T, f *File, what string) {
	t.Helper()
	testkit.Receive(t, what+" is reported", f.Changed)
}

// expectNone checks that no change was reported.
func expectNone(t *testing.T, f *File, what string) {
	t.Helper()
	select {
	case <-f.Changed:
		t.Fatalf("%s is reported", what)
	case <-time.After(3 * settle):
	}
}

func watched(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path, content)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	expectChange(t, f, "the start")
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

// The files of a directory, which may come and go, and the directory itself.
func TestADirectory(t *testing.T) {
	dir := t.TempDir()
	path, outside := filepath.Join(dir, "conf.d"), filepath.Join(dir, "outside")
	f := watched(t, path)
	part := func(name string) string { return filepath.Join(path, name+".part") }
	must(t, os.Mkdir(path, 0o755))
	expectChange(t, f, "a directory that appears")
	must(t, write(part("one"), "1"))
	expectChange(t, f, "a file that appears")
	must(t, write(part("two"), "2"))
	expectChange(t, f, "a second file")
	must(t, write(part("one"), "11"))
	expectChange(t, f, "writing in place")
	must(t, write(filepath.Join(path, "two.new"), "22"), os.Rename(filepath.Join(path, "two.new"), part("two")))
	expectChange(t, f, "a rename over a file")
	must(t, write(filepath.Join(path, "other"), "x"), os.Mkdir(filepath.Join(path, "sub"), 0o755))
	expectNone(t, f, "what is not part of the content")
	must(t, write(outside, "3"), os.Symlink(outside, part("link")))
	expectChange(t, f, "a link")
	must(t, write(outside, "33"))
	expectChange(t, f, "writing behind a link")
	must(t, os.Remove(outside))
	expectChange(t, f, "a link that leads nowhere")
	must(t, write(outside, "333"))
	expectChange(t, f, "a link that leads somewhere again")
	must(t, os.Remove(part("one")), os.Remove(part("link")))
	expectChange(t, f, "files that are gone")
	must(t, os.Link(part("two"), outside+"2"), write(outside+"2", "222"))
	expectChange(t, f, "writing by another path")
	must(t, os.RemoveAll(path), write(path, "a file now"))
	expectChange(t, f, "a file in place of the directory")
	must(t, write(path, "another content"))
	expectChange(t, f, "writing the file")
	must(t, os.Remove(path), os.Mkdir(path, 0o755), write(part("one"), "1"))
	expectChange(t, f, "a directory in place of the file")
	must(t, write(part("one"), "2"))
	expectChange(t, f, "writing in the new directory")
}

func TestAFileThatIsWrittenOrReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	must(t, write(path, "one"))
	f := watched(t, path)
	must(t, write(path, "two"))
	expectChange(t, f, "writing in place")
	must(t, write(path+".new", "three"), os.Rename(path+".new", path))
	expectChange(t, f, "a rename over it")
	must(t, write(path, "three"), write(path+".other", "x"))
	expectNone(t, f, "the same content, or another file")
	must(t, os.Rename(path, path+"~"))
	expectChange(t, f, "that it is gone")
	must(t, write(path, "four"))
	expectChange(t, f, "that it is back")
	for _, text := range []string{"5", "56", "567", "5678"} {
		must(t, write(path, text))
	}
	expectChange(t, f, "writing in steps")
}

// As in a volume of Kubernetes: the file is a link through the link "..data", which is replaced by a rename.
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
		expectChange(t, f, "the swap to "+next)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
	must(t, write(filepath.Join(dir, "..3", "config.json"), "in place"))
	expectChange(t, f, "writing behind the links")
}

// The same if the volume itself is the directory: the links stand beside the files.
func TestALinkThatIsSwappedInADirectory(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(in("..1"), 0o755), write(in("..1/one.part"), "1"), os.Symlink("..1", in("..data")), os.Symlink("..data/one.part", in("one.part")))
	f := watched(t, dir)
	for _, next := range []string{"..2", "..3"} {
		must(t, os.Mkdir(in(next), 0o755), write(in(next+"/one.part"), next), os.Symlink(next, in("..new")), os.Rename(in("..new"), in("..data")))
		expectChange(t, f, "the swap to "+next)
	}
	must(t, write(in("..3/one.part"), "in place"))
	expectChange(t, f, "writing behind the links")
}

func TestAFolderThatComesLate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "config.json")
	f := watched(t, path)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), write(path, "one"))
	expectChange(t, f, "the file in a folder that was not there")
	must(t, os.RemoveAll(filepath.Join(dir, "a")))
	expectChange(t, f, "that the folder is gone")
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), write(path, "two"))
	expectChange(t, f, "that the folder is back")
}

func TestLinksInACircle(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	must(t, os.Symlink("other", path), os.Symlink("config.json", filepath.Join(dir, "other")))
	f := watched(t, path)
	must(t, os.Remove(path), write(path, "one"))
	expectChange(t, f, "that the circle is cut")
}

// meanwhile calls a function every 5 ms until the test ends, or the returned function is called.
func meanwhile(t *testing.T, do func(i int) error) (end func()) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			if err := do(i); err != nil {
				done <- err
				return
			}
			select {
			case <-tick.C:
			case <-stop:
				done <- nil
				return
			}
		}
	}()
	end = sync.OnceFunc(func() {
		close(stop)
		must(t, <-done)
	})
	t.Cleanup(end)
	return end
}

// A change is reported while other files in the directory, and the file itself, are written all the time.
func TestAFolderThatIsNeverQuiet(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	must(t, write(path, "one"))
	f := watched(t, path)
	end := meanwhile(t, func(i int) error {
		other := filepath.Join(dir, fmt.Sprint("other", i%3))
		return errors.Join(write(other, fmt.Sprint(i)), os.Rename(other, filepath.Join(dir, "another")))
	})
	expectNone(t, f, "what goes on beside the file")
	must(t, write(path, "two"))
	expectChange(t, f, "writing beside others")
	must(t, write(path+".new", "three"), os.Rename(path+".new", path))
	expectChange(t, f, "a rename beside others")
	end()
	meanwhile(t, func(i int) error { return write(path, fmt.Sprint("step ", i)) })
	for range 2 {
		expectChange(t, f, "writing that never ends")
	}
}

// The file is read after a time without events, and at the latest a fixed time after the first event.
func TestMoment(t *testing.T) {
	begin := time.Unix(1000, 0)
	var m moment
	if !m.due.IsZero() {
		t.Error("due before anything has happened")
	}
	m.happened(begin)
	m.happened(begin.Add(30 * time.Millisecond))
	if want := begin.Add(30*time.Millisecond + settle); m.due != want {
		t.Errorf("due at %v, want %v", m.due, want)
	}
	for at := time.Duration(0); at < 2*latest; at += settle / 2 {
		m.happened(begin.Add(at))
	}
	if want := begin.Add(latest); m.due != want {
		t.Errorf("due at %v, want %v", m.due, want)
	}
	m = moment{}
	m.noLater(begin.Add(time.Hour))
	m.noLater(begin.Add(2 * time.Hour))
	if want := begin.Add(time.Hour); m.due != want {
		t.Errorf("due at %v, want %v", m.due, want)
	}
	m.happened(begin)
	if want := begin.Add(settle); m.due != want {
		t.Errorf("due at %v, want %v", m.due, want)
	}
}

// Any directory of the path may be replaced, also by one that existed before.
func TestAFolderThatIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "c", "config.json")
	other := filepath.Join(dir, "other", "c", "config.json")
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), write(path, "one"), os.MkdirAll(filepath.Dir(other), 0o755), write(other, "two"))
	f := watched(t, path)
	must(t, os.Rename(filepath.Join(dir, "a", "b"), filepath.Join(dir, "old")), os.Rename(filepath.Join(dir, "other"), filepath.Join(dir, "a", "b")))
	expectChange(t, f, "a folder in place of another")
	must(t, write(path, "three"))
	expectChange(t, f, "writing in the new folder")
	must(t, write(filepath.Join(dir, "old", "c", "config.json"), "four"))
	expectNone(t, f, "writing in the old folder")
}

// The file may be written by another path.
func TestAHardLink(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "here", "config.json"), filepath.Join(dir, "there", "file")
	must(t, os.Mkdir(filepath.Dir(path), 0o755), os.Mkdir(filepath.Dir(other), 0o755), write(path, "one"), os.Link(path, other))
	f := watched(t, path)
	must(t, write(other, "two"))
	expectChange(t, f, "writing by another path")
}

// A path that is not a regular file is reported, and reading it does not block.
func TestNoRegularFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	must(t, write(path, "one"))
	f := watched(t, path)
	must(t, os.Remove(path), unix.Mkfifo(path, 0o600))
	expectChange(t, f, "a FIFO")
	must(t, os.Remove(path), os.Symlink("/dev/zero", path))
	expectChange(t, f, "a device")
	must(t, os.Remove(path), os.WriteFile(path, make([]byte, 1001), 0o600))
	expectChange(t, f, "a file that is too large")
	must(t, os.Truncate(path, 1<<40))
	expectNone(t, f, "another that is too large")
	must(t, os.Truncate(path, 1000))
	expectChange(t, f, "a file that is not")
}

// Events that the kernel has dropped may have been of the file.
func TestOverflow(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	if most > 100_000 {
		t.Skipf("a queue of %d events is long to fill", most)
	}
	inotify, err := linux.NewInotify()
	must(t, err)
	dir := t.TempDir()
	path, one, two := filepath.Join(dir, "config.json"), filepath.Join(dir, "one"), filepath.Join(dir, "two")
	must(t, write(path, "one"), write(one, ""))
	f := newFile(path, content, inotify)
	f.follow()
	f.known = content.Sum(path)
	for range most/4 + 1 { // two events for each rename
		must(t, os.Rename(one, two), os.Rename(two, one))
	}
	must(t, write(path+".new", "two"), os.Rename(path+".new", path))
	go f.run(false)
	defer f.Close()
	expectChange(t, f, "a change whose events were dropped")
}

// Close works at any time.
func TestCloseAtAnyTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	meanwhile(t, func(i int) error { return write(path, fmt.Sprint(i)) })
	for range 50 {
		f, err := Open(path, content)
		must(t, err)
		must(t, f.Close())
	}
	inotify, err := linux.NewInotify()
	must(t, err)
	f := newFile(path, content, inotify)
	f.add, f.again = func(string, uint32) (int, error) { return 0, unix.ENOSPC }, time.Nanosecond // it does nothing but look
	f.start()
	for range 3 {
		expectChange(t, f, "a change")
	}
	must(t, f.Close())
}

// Without watches the file is read periodically.
func TestWhatCannotBeWatched(t *testing.T) {
	inotify, err := linux.NewInotify()
	must(t, err)
	path := filepath.Join(t.TempDir(), "config.json")
	f := newFile(path, content, inotify)
	f.add, f.again = func(string, uint32) (int, error) { return 0, unix.ENOSPC }, 10*time.Millisecond
	f.start()
	defer f.Close()
	expectChange(t, f, "the start")
	for _, content := range []string{"one", "two"} {
		must(t, write(path, content))
		expectChange(t, f, "a change")
	}
}

// The number of watches does not grow with changes, and is bounded for any path.
func TestWatchesAreBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "config.json")
	must(t, os.Mkdir(filepath.Dir(path), 0o755), write(path, "one"))
	f := watched(t, path)
	least := watches(t)
	for i := range 10 {
		must(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, fmt.Sprint("old", i))), os.Mkdir(filepath.Dir(path), 0o755), write(path, fmt.Sprint(i)))
		expectChange(t, f, "a folder in place of another")
	}
	if n := watches(t); n != least {
		t.Errorf("%d watches after changes, %d before", n, least)
	}
	long := filepath.Join(dir, strings.Repeat("d/", 2*mostWatches))
	must(t, os.MkdirAll(long, 0o755))
	watched(t, filepath.Join(long, "config.json"))
	if n := watches(t); n != least+mostWatches {
		t.Errorf("%d watches more on a path of %d folders", n-least, 2*mostWatches)
	}
}

// watches counts those of this process (proc(5), /proc/PID/fdinfo).
func watches(t *testing.T) (n int) {
	t.Helper()
	for _, d := range testkit.OpenDescriptors(t, "inotify") {
		n += strings.Count(d.Info(), "inotify wd:")
	}
	return n
}

// The number of watches of a directory is bounded too. Beyond that, the files are read from time to time.
func TestWatchesOfADirectoryAreBounded(t *testing.T) {
	inotify, err := linux.NewInotify()
	must(t, err)
	dir := t.TempDir()
	part := func(i int) string { return filepath.Join(dir, fmt.Sprint(i, ".part")) }
	for i := range 3 * mostWatches {
		must(t, write(part(i), ""))
	}
	f := newFile(dir, content, inotify)
	f.add = func(path string, mask uint32) (int, error) {
		if len(f.watches) >= mostWatches {
			return 0, unix.ENOSPC // as beyond /proc/sys/fs/inotify/max_user_watches
		}
		return inotify.Add(path, mask)
	}
	f.again = 10 * time.Millisecond
	before := watches(t)
	f.start()
	defer f.Close()
	expectChange(t, f, "the start")
	if n := watches(t) - before; n != mostWatches {
		t.Errorf("%d watches, want %d", n, mostWatches)
	}
	for i := range 3 * mostWatches {
		if i%mostWatches == 0 {
			must(t, write(part(i), "changed"))
			expectChange(t, f, "a file, watched or not")
		}
	}
}
