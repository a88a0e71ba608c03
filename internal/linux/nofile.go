package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// DescriptorLimit returns how many descriptors this process may have open: the soft limit RLIMIT_NOFILE (getrlimit(2)),
// which the Go runtime raises to the hard limit at start.
func DescriptorLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit RLIMIT_NOFILE", err)
	}
	return limit.Cur, nil
}
