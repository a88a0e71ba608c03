package linux

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// NewPipe returns a pipe of size bytes, non-blocking and close-on-exec. It fails if the user's limit for pipes would make
// it smaller (pipe(7), pipe-user-pages-soft), because a smaller pipe is useless for splice.
func NewPipe(size int) (read, write int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return -1, -1, os.NewSyscallError("pipe2", err)
	}
	if _, err := unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, size); err != nil {
		err = fmt.Errorf("make a pipe of %d bytes: %w", size, os.NewSyscallError("fcntl", err))
		return -1, -1, errors.Join(err, unix.Close(ends[0]), unix.Close(ends[1]))
	}
	return ends[0], ends[1], nil
}
