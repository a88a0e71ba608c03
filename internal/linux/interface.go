package linux

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// InterfaceName is the name of a network interface, or its number if there is none (netdevice(7), SIOCGIFNAME). Package
// net asks netlink for all interfaces instead, and may wait for whoever changes one.
func InterfaceName(index uint32) string {
	var request unix.Ifreq
	request.SetUint32(index) // where the call wants it: in the union behind the name
	if askInterface(unix.SIOCGIFNAME, &request) != nil {
		return strconv.FormatUint(uint64(index), 10)
	}
	return request.Name()
}

// interfaceIndex is the number of a network interface (netdevice(7), SIOCGIFINDEX).
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

// askInterface makes a call about network interfaces, for which any socket will do.
func askInterface(call uint, request *unix.Ifreq) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer CloseNow(fd)
	return unix.IoctlIfreq(fd, call, request)
}
