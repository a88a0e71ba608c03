package linux

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ListenOwner says which process listens on a TCP port of this network namespace: its name and PID, or "" if that
// cannot be told, for want of rights or because it is gone. It reads /proc/net/tcp, /proc/net/tcp6 and the descriptors
// of every process (proc(5)), so it is for error messages.
func ListenOwner(port uint16) string {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listenInodes(table, port, inodes)
	}
	if len(inodes) == 0 {
		return ""
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is well formed
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !inodes[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		if name, err := os.ReadFile("/proc/" + pid + "/comm"); err == nil {
			return fmt.Sprintf("%s, PID %s", strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}

// listenInodes adds the inodes of the sockets in table that listen on port.
func listenInodes(table string, port uint16, to map[string]bool) {
	const local, state, inode = 1, 3, 9 // columns, counted by white space
	const listen = "0A"
	file, err := os.Open(table)
	if err != nil {
		return
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) <= inode || f[state] != listen {
			continue
		}
		_, hex, _ := strings.Cut(f[local], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(n) == port {
			to[f[inode]] = true
		}
	}
}
