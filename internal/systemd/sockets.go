package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Socket is a listening socket that systemd has passed (systemd.socket(5)).
type Socket struct {
	Name     string // its FileDescriptorName (systemd.socket(5)); not unique
	Listener net.Listener
}

// Sockets returns the sockets that systemd has passed to this process (sd_listen_fds(3)), in its order, and takes their
// variables out of the environment. What comes from systemd's store is set aside. Each other must be a listening stream
// socket, of TCP or unix. If one is not, Sockets closes the other sockets, and the error names each that is wrong. Closing a unix
// listener does not remove its path, which belongs to systemd.
func Sockets() ([]Socket, Stored, error) {
	count, given := os.Getenv("LISTEN_FDS"), mine("LISTEN_PID") && os.Getenv("LISTEN_PID") != ""
	n, err := strconv.ParseUint(count, 10, 31)
	if given && (err != nil || n > most()) {
		os.Setenv("LISTEN_FDS", "0") // activation.Files allocates memory for that number
	}
	files := activation.Files(true)
	if given && (err != nil || int(n) != len(files)) {
		return nil, Stored{}, fmt.Errorf("sockets from systemd: LISTEN_FDS is %.40q, which is not a number of sockets", count)
	}
	sockets := make([]Socket, 0, len(files))
	var stored Stored
	var errs []error
	for _, file := range files {
		if isStored(file) {
			stored.files = append(stored.files, file)
			continue
		}
		l, err := listener(file)
		if err != nil {
			// It is not closed: if systemd has left a gap, it may be a descriptor of the Go runtime.
			errs = append(errs, fmt.Errorf("socket from systemd: descriptor %d, named %q, %w", file.Fd(), file.Name(), err))
			continue
		}
		file.Close() // net.FileListener has duplicated it
		sockets = append(sockets, Socket{file.Name(), l})
	}
	if err := errors.Join(errs...); err != nil {
		for _, s := range sockets {
			s.Listener.Close()
		}
		return nil, stored, err
	}
	return sockets, stored, nil
}

// most is the highest number of descriptors that this process can have.
func most() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Max
}

// listener makes a listener of a duplicate of the descriptor. Its error says what is wrong with the descriptor.
func listener(file *os.File) (net.Listener, error) {
	fd := int(file.Fd())
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return nil, errors.New("is not open")
	}
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if errors.Is(err, unix.ENOTSOCK) {
		return nil, errors.New("is not a socket")
	}
	kind, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	listens, err3 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	switch err := errors.Join(err, err2, err3); {
	case err != nil:
		return nil, fmt.Errorf("cannot be examined: %w", err)
	case domain != unix.AF_INET && domain != unix.AF_INET6 && domain != unix.AF_UNIX:
		return nil, fmt.Errorf("is of address family %d, neither IPv4, IPv6 nor unix", domain)
	case kind == unix.SOCK_DGRAM:
		return nil, errors.New("is a datagram socket: use ListenStream=, not ListenDatagram=")
	case kind != unix.SOCK_STREAM:
		return nil, errors.New("is not a stream socket: use ListenStream=")
	case listens == 0:
		return nil, errors.New("does not listen: set Accept=no in its socket unit")
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be listened on: %w", err)
	}
	return l, nil
}
