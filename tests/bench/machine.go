package main

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is where a run took place.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	System string `json:"system"`
	Go     string `json:"go"`
	// Namespaces is true if each cell had a network namespace of its own.
	Namespaces bool `json:"network_namespaces"`
	// User is whom the contestants ran as.
	User string `json:"user"`
}

// thisMachine leaves empty what the machine does not tell.
func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	m.CPU = valueOf("/proc/cpuinfo", "model name", ":")
	m.System = strings.Trim(valueOf("/etc/os-release", "PRETTY_NAME", "="), `"`)
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	return m
}

// valueOf returns what follows the key and the separator on the first line that begins with them.
func valueOf(path, key, separator string) string {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
