package systemd

import (
	"os"
	"strings"
)

// RuntimeDirectory returns the first directory of RuntimeDirectory= of the service (systemd.exec(5)); "" if there is none, or
// if this process has only inherited the variable from the one that systemd has started.
func RuntimeDirectory() string {
	if !mine("SYSTEMD_EXEC_PID") {
		return ""
	}
	directory, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	return directory
}
