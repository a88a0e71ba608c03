package linux

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// InterfaceName returns the name of a network interface, or its number if it has none (netdevice(7), SIOCGIFNAME). Package
// net lists all interfaces through netlink instead, and may wait while another process changes one.
func InterfaceName(index uint32) string {
	var request unix.Ifreq
	request.SetUint32(index) // the call reads the index from the union after the name
	if askInterface(unix.SIOCGIFNAME, &request) != nil {
		return strconv.FormatUint(uint64(index), 10)
	}
	return request.Name()
}

// interfaceIndex returns the number of a network interface (netdevice(7), SIOCGIFINDEX).
func interfaceIndex(name string) (uint32, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("no network interface %q: its name is too long", name)
	}
	switch err := askInterface(unix.SIOCGIFINDEX, request); err {
	case nil:
		return request.Uint32(), nil
	case unix.ENODEV:
		return 0, fmt.Errorf("no network interface %q", name)
	default:
		return 0, os.NewSyscallError("ioctl SIOCGIFINDEX", err)
	}
}

// askInterface makes an ioctl for network interfaces, on a socket of its own.
func askInterface(call uint, request *unix.Ifreq) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer CloseNow(fd)
	return unix.IoctlIfreq(fd, call, request)
}
