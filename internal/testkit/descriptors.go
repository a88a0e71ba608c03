package testkit

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// A Descriptor is one that a process has open.
type Descriptor struct {
	Number int
	Refers string // to what: "socket:[INODE]", "pipe:[INODE]", "anon_inode:[eventpoll]" or a path (proc_pid_fd(5))
}

// Is reports whether the descriptor is of a kind: "socket", "pipe", or, of an anonymous inode, "[eventpoll]" or "inotify".
func (d Descriptor) Is(kind string) bool {
	name, inode, _ := strings.Cut(d.Refers, ":")
	return name == kind || name == "anon_inode" && inode == kind
}

// Info is what the kernel says of a descriptor of this process (proc_pid_fdinfo(5)); "" once it is closed.
func (d Descriptor) Info() string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", d.Number))
	return string(text)
}

// Descriptors returns the open descriptors of a process; 0 is this one. Those that are closed meanwhile may be missing.
func Descriptors(pid int) ([]Descriptor, error) {
	folder := "/proc/self/fd"
	if pid != 0 {
		folder = fmt.Sprintf("/proc/%d/fd", pid)
	}
	names, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("list the descriptors of process %d: %w", pid, err)
	}
	var open []Descriptor
	for _, name := range names {
		refers, err := os.Readlink(folder + "/" + name.Name())
		if err != nil { // closed meanwhile, as that of the folder itself
			continue
		}
		number, err := strconv.Atoi(name.Name())
		if err != nil {
			return nil, fmt.Errorf("list the descriptors of process %d: %w", pid, err)
		}
		open = append(open, Descriptor{number, refers})
	}
	return open, nil
}

// OpenDescriptors returns those of this process: all, or those of some kinds as Descriptor.Is knows them.
func OpenDescriptors(t testing.TB, kinds ...string) []Descriptor {
	t.Helper()
	all, err := Descriptors(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(kinds) == 0 {
		return all
	}
	var of []Descriptor
	for _, d := range all {
		for _, kind := range kinds {
			if d.Is(kind) {
				of = append(of, d)
			}
		}
	}
	return of
}

// CountDescriptors is how many OpenDescriptors returns.
func CountDescriptors(t testing.TB, kinds ...string) int {
	t.Helper()
	return len(OpenDescriptors(t, kinds...))
}
