package e2e

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// The commands of README.md's section Install, word by word, on a machine that has the project's folder as /root.
func TestInstallAsDocumented(t *testing.T) {
	onEach(t, func(m *machine) {
		m.must(os.MkdirAll(m.path("/root/dist"), 0o755))
		for _, format := range []string{"deb", "rpm"} {
			file := packageOf(m.T, version, format)
			data, err := os.ReadFile(file)
			m.must(err)
			m.must(os.WriteFile(m.path(path.Join("/root/dist", filepath.Base(file))), data, 0o644))
		}
		m.script("sudo", `exec "$@"`)
		m.script("sudoedit", `cp /root/edited "$1"`)
		m.write("/root/edited", `{
  "drain_timeout": "1s",
  "admin": {"listen": ["unix:/run/tcp-proxy/admin.sock"]},
  "apps": [{"name": "web", "ports": ["127.0.0.1:8080"], "targets": ["10.0.0.1:80"], "connect_timeout": "200ms"}]
}`)
		for _, command := range documented(m.T, "Install") {
			output := ""
			switch {
			case command == "make package": // as TestMain has done it
			case strings.HasPrefix(command, "sudo dnf "): // Debian has apt; TestInstallWithRpm installs the other package
			default:
				output = m.types("/root", strings.ReplaceAll(command, "_amd64", "_"+runtime.GOARCH))
			}
			said := true
			switch {
			case strings.HasPrefix(command, "sudo apt install "):
				m.expect("tcp-proxy.service", "ActiveState", "active")
				m.expect("tcp-proxy.service", "UnitFileState", "enabled")
			case strings.HasPrefix(command, "sudo systemctl reload "):
				if conn, err := m.dial("127.0.0.1:8080"); err == nil { // or it is reset before that
					io.Copy(io.Discard, conn)
					conn.Close()
				}
				harness.Eventually(m, "the session's record is in the journal", func() bool {
					return strings.Contains(m.entries("tcp-proxy.service"), "connect_failed")
				})
			case strings.HasPrefix(command, "systemctl status "):
				said = strings.Contains(output, `Status: "1 app, 1 port, `)
			case strings.HasPrefix(command, "journalctl "):
				said = strings.Contains(output, "connect_failed")
			case strings.HasPrefix(command, "sudo tcp-proxy status"):
				said = strings.Contains(output, "10.0.0.1:80")
			}
			if !said {
				m.Errorf("%q says\n%s", command, output)
			}
		}
	})
}

// The commands of tcp-proxy(8), word by word, after those that install the package.
func TestManualAsDocumented(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "example")
		m.run("dpkg", "-i", m.carry(packageOf(m.T, version, "deb")))
		m.run("systemctl", "stop", "tcp-proxy")
		m.script("editor", `printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:5001\n' >"$1"`)
		commands := manual(m.T)
		for _, command := range commands {
			if strings.Contains(command, " edit ") { // systemctl(1) has an editor on terminals alone
				command = `script -qec "EDITOR=/usr/local/bin/editor ` + command + `" /dev/null`
			}
			m.types("/root", command)
		}
		m.expect("tcp-proxy.socket", "ActiveState", "active")
		m.expect("tcp-proxy.service", "ActiveState", "active")
		m.reaches("127.0.0.1:5001", "example")
	})
}

// The commands of README.md's sections for newcomers, word by word, on a machine that has nothing but Go, git and make.
func TestTryItAsDocumented(t *testing.T) {
	t.Parallel()
	m := boot(t, releases[1].root, goOptions(t)...)
	const folder = "/root/tcp-proxy"
	m.checkOut(folder)

	var demo *background
	for _, command := range documented(t, "Try it") {
		switch {
		case command == "make run":
			demo = m.starts(folder, command)
			demo.says("Try this in another terminal")
		case strings.HasPrefix(command, "nc "):
			m.expectAnswer(folder, `echo hello | timeout 5 `+command+` -q 1`, "hello")
		case strings.HasPrefix(command, "bin/tcp-proxy status"):
			m.expectAnswer(folder, command, "127.0.0.1:5101")
		default:
			m.types(folder, command)
		}
	}
	if demo == nil {
		t.Fatal("README.md does not say \"make run\"")
	}
	demo.interrupt() // make itself then fails

	m.write(folder+"/config.json", example(t, "Run it by hand"))
	for _, command := range documented(t, "Run it by hand") {
		if command == "bin/tcp-proxy" {
			proxy := m.starts(folder, command)
			proxy.says("ready: 1 app, 1 port, 2 targets")
			if code := proxy.interrupt(); code != "0" {
				t.Errorf("exit code %s after a Ctrl-C", code)
			}
			continue
		}
		m.types(folder, command)
	}
}

var (
	fenced   = regexp.MustCompile("(?ms)^```.*?^```$")
	indented = regexp.MustCompile(`(?m)^    (\S.*)$`)
)

// documented gives the commands of a section of README.md, without their comments.
func documented(t *testing.T, heading string) []string {
	t.Helper()
	var commands []string
	for _, line := range indented.FindAllStringSubmatch(fenced.ReplaceAllString(section(t, heading), ""), -1) {
		commands = append(commands, withoutComment(line[1]))
	}
	if len(commands) < 3 {
		t.Fatalf("README.md has %d commands in %q", len(commands), heading)
	}
	return commands
}

// section gives a section of README.md.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", heading)
	}
	body, _, _ := strings.Cut(after, "\n## ")
	return body
}

// example gives the first configuration of a section of README.md.
func example(t *testing.T, heading string) string {
	t.Helper()
	_, after, ok := strings.Cut(section(t, heading), "```jsonc\n")
	if !ok {
		t.Fatalf("README.md has no configuration in %q", heading)
	}
	text, _, _ := strings.Cut(after, "```")
	return text
}

var displays = regexp.MustCompile(`(?ms)^\.Bd -literal[^\n]*\n(.*?)^\.Ed$`)

// manual gives the commands that tcp-proxy(8) displays.
func manual(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../packaging/man/tcp-proxy.8")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, display := range displays.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(display[1]) {
			if line = withoutComment(line); line != "" && !strings.HasPrefix(line, "{") {
				commands = append(commands, line)
			}
		}
	}
	if len(commands) < 8 {
		t.Fatalf("tcp-proxy(8) has %d commands: %q", len(commands), commands)
	}
	return commands
}

func withoutComment(line string) string {
	command, _, _ := strings.Cut(line, " #")
	return strings.TrimSpace(command)
}

// script writes a program that the machine has not.
func (m *machine) script(name, text string) {
	m.Helper()
	file := "/usr/local/bin/" + name
	m.write(file, "#!/bin/sh\n"+text+"\n")
	m.must(os.Chmod(m.path(file), 0o755))
}

// types runs a line of the shell in a folder of the machine, which has to succeed, and returns what it prints.
func (m *machine) types(folder, line string) string {
	m.Helper()
	return m.run("sh", "-c", "cd "+folder+" && "+line)
}

func (m *machine) expectAnswer(folder, line, want string) {
	m.Helper()
	if answer := m.types(folder, line); !strings.Contains(answer, want) {
		m.Errorf("%q answers\n%s", line, answer)
	}
}

// goOptions give a machine this one's Go and its caches, so that nothing is fetched or built twice.
func goOptions(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	folders := strings.Fields(string(out))
	return []string{
		"--bind-ro=" + folders[0] + ":/usr/local/go", "--bind-ro=" + folders[1] + ":/root/go/pkg/mod", "--bind=" + folders[2] + ":/root/.cache/go-build",
	}
}

// checkOut puts the project's files into a folder of the machine, as a clone with the changes of this one.
func (m *machine) checkOut(folder string) {
	m.Helper()
	m.script("go", `exec /usr/local/go/bin/go "$@"`)
	const copies = `cd ../.. && git clone -q . "$1" &&
		git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - | tar -x -C "$1"`
	out, err := exec.Command("sh", "-c", copies, "sh", filepath.Join(m.root, folder)).CombinedOutput()
	if err != nil {
		m.Fatalf("copy the project: %v\n%s", err, out)
	}
	m.run("git", "config", "--global", "--add", "safe.directory", folder)
}

// background is a command of the shell that goes on while others run.
type background struct {
	m      *machine
	cmd    *exec.Cmd
	output string // the file with what it prints
}

// starts runs a line of the shell in a folder of the machine until it is interrupted, or the test ends.
func (m *machine) starts(folder, line string) *background {
	m.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m.Cleanup(cancel)
	b := &background{m: m, output: filepath.Join(m.folder, "output")}
	file, err := os.Create(b.output)
	m.must(err)
	defer file.Close()
	b.cmd = m.command(ctx, "sh", "-c", "trap : INT; cd "+folder+"; "+line+`; echo "exit code $?"`)
	b.cmd.Stdout, b.cmd.Stderr = file, file
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as in a terminal
	m.must(b.cmd.Start())
	go b.cmd.Wait() // the shell in the machine outlives it
	return b
}

// says waits until the command has printed the text, and returns what it prints after that in the same line.
func (b *background) says(text string) string {
	b.m.Helper()
	deadline := time.Now().Add(4 * time.Minute) // it may have to be built
	for {
		printed, err := os.ReadFile(b.output)
		b.m.must(err)
		if _, after, ok := strings.Cut(string(printed), text); ok {
			if rest, _, ok := strings.Cut(after, "\n"); ok {
				return rest
			}
		}
		if time.Now().After(deadline) {
			b.m.Fatalf("the command does not say %q, but\n%s", text, printed)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// interrupt is a Ctrl-C. It waits until the command has ended, and returns its exit code.
func (b *background) interrupt() string {
	b.m.Helper()
	b.m.must(syscall.Kill(-b.cmd.Process.Pid, syscall.SIGINT))
	return b.says("exit code ")
}
