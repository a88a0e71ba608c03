// Package systemd implements the interfaces of systemd: socket activation, notifications, the watchdog, and the native
// protocol of the journal. It ignores inherited sockets and variables that are meant for another process.
package systemd

import (
	"os"
	"strconv"
)

// mine reports whether an environment variable has the PID of this process, or is not set. Its value is the PID of the process
// for which related variables are meant.
func mine(name string) bool {
	pid := os.Getenv(name)
	return pid == "" || pid == strconv.Itoa(os.Getpid())
}
