package systemd

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// StoredPrefix begins the names of all descriptors that a release of this program puts into systemd's store (FDSTORE=1 in
// sd_notify(3)). No FileDescriptorName= of a socket unit may begin with it.
const StoredPrefix = "handover-"

// Stored are descriptors that systemd has kept in its store from an earlier process of the service, perhaps of another
// release. They stay open until Discard.
type Stored struct{ files []*os.File }

// Names returns the names of the descriptors, sorted, each once.
func (s Stored) Names() []string {
	var names []string
	for _, file := range s.files {
		names = append(names, file.Name())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Discard has systemd remove the descriptors from its store, and closes them.
func (s Stored) Discard(manager *Notifier) error {
	var errs []error
	for _, name := range s.Names() {
		errs = append(errs, manager.send("FDSTOREREMOVE=1", "FDNAME="+name))
	}
	for _, file := range s.files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

// isStored reports whether a descriptor that systemd has passed comes from its store. systemd names "stored" what was stored
// without a name; a socket unit may have sockets of that name, too, which listen. A number that is not open, or that the Go
// runtime has taken, is not of a stored descriptor: systemd stores only what is open, and what is stored here is a socket or has
// a size (memfd_create(2)).
func isStored(file *os.File) bool {
	fd, unnamed := int(file.Fd()), file.Name() == "stored"
	if !unnamed && !strings.HasPrefix(file.Name(), StoredPrefix) {
		return false
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return false
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return true
	case unix.S_IFSOCK:
		listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		return err == nil && !(unnamed && listens != 0)
	}
	return false
}
