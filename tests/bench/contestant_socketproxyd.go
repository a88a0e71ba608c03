package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// socketProxydPath is where Debian's systemd has it; it is not on the PATH.
const socketProxydPath = "/usr/lib/systemd/systemd-socket-proxyd"

// socketProxyd is systemd-socket-proxyd, which has one target only and takes its listener from socket activation.
func socketProxyd() (contestant, error) {
	if _, err := os.Stat(socketProxydPath); err != nil {
		return contestant{}, err
	}
	version, err := firstLine(socketProxydPath, "--version")
	if err != nil {
		return contestant{}, err
	}
	return contestant{name: "socket-proxyd", role: rolePeer, version: version, command: func(s site) (*exec.Cmd, error) {
		fd, err := listenTCP(s.listen)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command("/proc/self/exe", partLaunch, socketProxydPath,
			"--connections-max="+strconv.Itoa(s.capacity()), s.targets[0].String())
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(fd), "listener")}
		return cmd, nil
	}}, nil
}

// launchActivated becomes the given command, with its descriptor 3 announced as sd_listen_fds(3) expects: LISTEN_PID
// is that of the very process that takes the sockets, hence exec and not fork. It returns only on failure.
func launchActivated(argv []string) error {
	if len(argv) == 0 {
		return errors.New("nothing to launch")
	}
	env := append(os.Environ(), "LISTEN_PID="+strconv.Itoa(os.Getpid()), "LISTEN_FDS=1")
	return fmt.Errorf("exec %s: %w", argv[0], syscall.Exec(argv[0], argv, env))
}
