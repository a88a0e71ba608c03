// Package systemd is this process's side of its service manager: the sockets that systemd hands over, what systemd is
// told of the process, the watchdog, and the native protocol of the journal. What is meant for another process, and was
// merely inherited, is left alone.
package systemd

import (
	"os"
	"strconv"
)

// mine reports whether the environment variable name, which holds the PID that others are meant for, allows them to be
// this process's. A variable that is not set allows it.
func mine(name string) bool {
	pid := os.Getenv(name)
	return pid == "" || pid == strconv.Itoa(os.Getpid())
}
