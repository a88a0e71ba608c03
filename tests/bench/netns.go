package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freshNetwork moves this thread into a new network namespace with its loopback up; processes started from then on
// are in it too. The namespace ends with its last process, and with it go its sockets in TIME_WAIT, of which a short
// connection leaves two: else the first contestants would pay for making them and the later ones for their number.
func freshNetwork() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare network: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring up loopback: %w", err)
	}
	return nil
}
