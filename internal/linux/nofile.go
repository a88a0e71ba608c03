package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// DescriptorLimit is how many descriptors this process may hold: RLIMIT_NOFILE (getrlimit(2)), whose soft value the
// Go runtime raises to the hard one at start.
func DescriptorLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit RLIMIT_NOFILE", err)
	}
	return limit.Cur, nil
}
