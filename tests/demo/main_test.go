package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/testkit"
)

// README.md shows the commands that the demo prints, and the address of its page.
func TestReadmeShowsTheDemo(t *testing.T) {
	cfg, err := config.Load("config.json")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if socket(cfg) == "" {
		t.Fatal("the demo has no admin socket")
	}
	var printed bytes.Buffer
	explain(&printed, "bin/tcp-proxy", cfg)
	shown := regexp.MustCompile(`(?m)^    (?:nc|bin/tcp-proxy) .*?(?:  |$)|http://\S+`).FindAllString(printed.String(), -1)
	if len(shown) != 4 {
		t.Errorf("the demo prints %d commands and addresses:\n%s", len(shown), printed.String())
	}
	for _, s := range shown {
		if !strings.Contains(string(readme), strings.TrimRight(s, " ")) {
			t.Errorf("README.md does not show %q", s)
		}
	}
}

// The demo runs a proxy with two targets, and the commands that it prints work. It runs in a network of its own, as its
// ports are fixed.
func TestDemo(t *testing.T) {
	unshare := []string{"unshare", "--net"}
	if os.Getuid() != 0 {
		unshare = []string{"unshare", "--net", "--map-root-user"}
	}
	up := append(unshare, "ip", "link", "set", "lo", "up")
	if out, err := exec.CommandContext(t.Context(), up[0], up[1:]...).CombinedOutput(); err != nil {
		t.Skipf("SKIP: the demo needs a network of its own: %v\n%s", err, out)
	}
	folder := t.TempDir()
	for _, command := range [][]string{{"demo", "tcp-proxy/tests/demo"}, {"tcp-proxy", "tcp-proxy/cmd/tcp-proxy"}} {
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(folder, command[0]), command[1]).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	text, err := os.ReadFile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	socket, proxy, file := filepath.Join(folder, "s"), filepath.Join(folder, "tcp-proxy"), filepath.Join(folder, "config.json")
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte("/tmp/tcp-proxy-demo.sock"), []byte(socket)), 0o644); err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(folder, "output")
	out, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	demo := append(unshare, "sh", "-c", `ip link set lo up && exec "$@"`, "sh", filepath.Join(folder, "demo"), proxy, file)
	cmd := exec.Command(demo[0], demo[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
			t.Error("the demo does not end")
		}
	})

	says := func() string {
		data, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	page := "The status page: http://localhost:9901\n"
	testkit.Eventually(t, fmt.Sprintf("the demo prints %q", page), func() bool { return strings.Contains(says(), page) })
	run := func(command ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), proxy, command...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", command, err, out)
		}
		return string(out)
	}
	for _, action := range []string{"drain", "undrain"} {
		command := fmt.Sprintf("%s %s --socket %s demo 127.0.0.1:5101", proxy, action, socket)
		if action == "drain" && !strings.Contains(says(), command) {
			t.Errorf("the demo does not print %q:\n%s", command, says())
		}
		run(strings.Fields(command)[1:]...)
		status := run("status", "--socket", socket)
		if drains := regexp.MustCompile(`(?m)^ +127\.0\.0\.1:5101 +draining `).MatchString(status); drains != (action == "drain") || !strings.Contains(status, "127.0.0.1:5102") {
			t.Errorf("after %s the status is\n%s", action, status)
		}
	}
}
