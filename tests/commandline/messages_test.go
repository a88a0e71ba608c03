package commandline

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

// A configuration with a habit of another format, or of another proxy, gets an error that says what to write instead.
func TestConfigMessages(t *testing.T) {
	app := func(more string) string {
		return `{"apps": [{"name": "a", "ports": [5001], "targets": ["10.0.0.1:80"], ` + more + `}]}`
	}
	target := func(target string) string {
		return `{"apps": [{"name": "a", "ports": [5001], "targets": [` + target + `]}]}`
	}
	utf16 := func(text string, low int) string {
		wide := make([]byte, 2*len(text))
		for i := range len(text) {
			wide[2*i+low] = text[i]
		}
		return string(wide)
	}
	const notJSON = "this is not JSON: a configuration begins with {, and this file with "
	for _, c := range []struct{ name, text, want string }{
		{"YAML", "apps:\n  - name: web\n", `:1:1: ` + notJSON + `"apps"`},
		{"YAML with a start", "---\napps:\n", `:1:1: ` + notJSON + `"---"`},
		{"YAML with a comment", "# apps\napps:\n", `:1:1: ` + notJSON + `'#'`},
		{"TOML", "max_workers = 5\n", `:1:1: ` + notJSON + `"max_workers"`},
		{"TOML with a table", "[log]\nlevel = \"info\"\n", `:1:2: ` + notJSON + `'['`},
		{"TOML with tables in a list", "[[apps]]\nname = \"web\"\n", `:1:3: ` + notJSON + `'['`},
		{"nothing", " \n", `: the file has no configuration: a small one is {"apps": `},
		{"UTF-16, little endian", "\xff\xfe" + utf16(target(`"10.0.0.1:80"`), 0), ":1:1: this is UTF-16: "},
		{"UTF-16, big endian", "\xfe\xff" + utf16(target(`"10.0.0.1:80"`), 1), ":1:1: this is UTF-16: "},
		{"UTF-16 without a mark", utf16(target(`"10.0.0.1:80"`), 0), ":1:1: this is UTF-16: "},
		{"smart quotes", "{“apps”: []}", `:1:2: “ is not the quote of JSON: a string needs straight double quotes, "`},
		{"single quotes", "{'apps': []}", `:1:2: `},
		{"a no-break space", "{\u00a0\"apps\": []}", ":1:2: this is a no-break space (U+00A0): write an ordinary space"},
		{"a URL", target(`"http://web.internal:80"`), `apps[0].targets[0]: an address has no scheme, such as "http://": write "web.internal:80"`},
		{"a URL without a port", target(`"https://web.internal/path"`), `an address has no scheme, such as "https://": write "web.internal:443"`},
		{"a URL in an object", target(`{"address": "tcp://10.0.0.1:80"}`), `an address has no scheme, such as "tcp://": write "10.0.0.1:80"`},
		{"host and port", target(`{"host": "web.internal", "port": 80}`), `apps[0].targets[0]: has no "address": write "address": "web.internal:80"`},
		{"host and port of IPv6", target(`{"host": "fd00::1", "port": "80"}`), `write "address": "[fd00::1]:80"`},
		{"days", app(`"idle_timeout": "1d"`), `apps[0].idle_timeout: must be a duration such as "250ms", "5s" or "1h30m", not "1d": write "24h"`},
		{"no unit", app(`"idle_timeout": "30"`), `not "30": write "30s"`},
		{"a number of seconds", app(`"idle_timeout": 30`), `must be a duration such as "5s", not a number: write "30s"`},
		{"more days than there may be", app(`"connect_timeout": "2d"`), `not "2d": "48h" is more than the 1h that are allowed`},
		{"less than there may be", app(`"connect_timeout": 0`), `not a number: "0s" is less than the 1ms that are allowed`},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect(t, harness.Run(t, "check", "--config-file", write(t, c.text)), exitConfig, c.want)
		})
	}
}

// A bad command line gets what is wrong with it, what to write instead, and the command whose help has more.
func TestUsageMessages(t *testing.T) {
	file := write(t, smallest)
	expect(t, harness.Run(t, ""), exitUsage, `tcp-proxy: unknown command ""`+"\n")
	for _, c := range []struct{ arguments, want string }{
		{"--max-workers many", `--max-workers must be a whole number, 1 to 1000000, not "many"`},
		{"run --max-workers 1.5", `--max-workers must be a whole number, 1 to 1000000, not "1.5"`},
		{"check --max-workers=", `--max-workers must be a whole number, 1 to 1000000, not ""`},
		{"check --max-workers 0", `--max-workers must be from 1 to 1000000, not "0"`},
		{"check --max-workers 99999999999999999999", `--max-workers must be from 1 to 1000000, not "99999999999999999999"`},
		{"check --engine steam", `--engine must be "loop" or "copy", not "steam"`},
		{"run --log-level loud --config-file none.json", `--log-level must be "trace", "debug", "info", "warning" or "error", not "loud"`},
		{"--log-format xml", `--log-format must be "auto", "journal", "text" or "json", not "xml"`},
		{"check --quiet=maybe", `--quiet must be true or false, not "maybe"`},
		{"check --engin loop", `unknown flag: --engin: did you mean "--engine"?`},
		{"status --josn", `unknown flag: --josn: did you mean "--json"?`},
		{"status --no-such-flag", `unknown flag: --no-such-flag` + "\n"},
		{"stauts", `unknown command "stauts": did you mean "status"?`},
		{"relaod", `unknown command "relaod": did you mean "reload"?`},
		{"undrian", `unknown command "undrian": did you mean "undrain"?`},
		{"help stauts", `unknown command "stauts": did you mean "status"?`},
		{"no-such-command", `unknown command "no-such-command"` + "\n"},
		{"help no-such-command", `unknown command "no-such-command"` + "\n"},
		{file, `unknown command "` + file + `": name a configuration with --config-file ` + file},
		{"missing.json", `unknown command "missing.json": name a configuration with --config-file missing.json`},
		{"check " + file, `check takes no arguments, but got "` + file + `": name a configuration with --config-file ` + file},
		{"run argument", `run takes no arguments, but got "argument"` + "\n"},
		{"version argument", `version takes no arguments, but got "argument"` + "\n"},
		{"schema " + file, `schema takes no arguments, but got "` + file + `"` + "\n"},
		{"drain web", "drain needs both APP and TARGET, or neither"},
		{"undrain web", "undrain needs both APP and TARGET, or neither"},
		{"sessions web", `sessions takes no arguments, but got "web"`},
		{"sessions --limit 0", `--limit must be a number from 1 to 1000, not "0"`},
		{"sessions --limit many", `--limit must be a number from 1 to 1000, not "many"`},
		{"sessions --client here", `--client: "here" is no client: write an IP address, an address with its port, a network such as 10.0.0.0/8, or "unix:"`},
		{"sessions --state open", `--state must be one of header, admission, waiting, connecting, established, half_closed, not "open"`},
		{"close", "close needs one SESSION: its number, as tcp-proxy sessions shows it"},
		{"close 1 2", "close needs one SESSION: its number, as tcp-proxy sessions shows it"},
		{"close -- -1", `"-1" is no session: write its number, as tcp-proxy sessions shows it`},
		{"close web", `"web" is no session: write its number, as tcp-proxy sessions shows it`},
		{"log-level loud", `the level must be "trace", "debug", "info", "warning" or "error", not "loud"`},
		{"log-level debug info", "log-level takes one LEVEL"},
		{"log-level --for 10m", "--for needs a LEVEL"},
		{"log-level debug --reset", "--reset takes no LEVEL"},
		{"log-level debug --for 2d", `--for must be a duration such as "10m", from 1s to 24h, not "2d"`},
		{"log-level debug --for 25h", `--for must be a duration such as "10m", from 1s to 24h, not "25h"`},
		{"config web", "config takes no arguments"},
		{"completion", "completion needs the name of one shell: bash, zsh or fish"},
		{"help check run", "help takes the name of one command"},
		{"completion bash zsh", "completion needs the name of one shell: bash, zsh or fish"},
		{"completion tcsh", `there is no completion for "tcsh", only for bash, zsh and fish`},
	} {
		t.Run(c.arguments, func(t *testing.T) {
			arguments := strings.Fields(c.arguments)
			about := "tcp-proxy "
			if slices.Contains([]string{"run", "check", "schema", "status", "help", "drain", "undrain", "sessions", "close", "log-level", "config", "version", "completion"}, arguments[0]) {
				about += arguments[0] + " "
			}
			expect(t, harness.Run(t, arguments...), exitUsage, "tcp-proxy: "+c.want, "\nTry '"+about+"--help'.\n")
		})
	}
}

// No command leaves the words of the library to whoever gives it too many arguments, or a flag that it does not have, and each
// points to its own help.
func TestEveryCommandExplainsItsUsage(t *testing.T) {
	listed := strings.Split(strings.TrimSpace(harness.Run(t, "__complete", "").Stdout), "\n")
	for _, line := range listed[:len(listed)-1] { // the last line is a directive
		command, _, _ := strings.Cut(line, "\t")
		result := harness.Run(t, command, "--no-such-flag")
		expect(t, result, exitUsage, "unknown flag: --no-such-flag\nTry 'tcp-proxy "+command+" --help'.\n")
		result = harness.Run(t, command, "a", "b", "c", "d")
		for _, bad := range []string{"arg(s)", `" for "tcp-proxy`} {
			if result.Code == exitUsage && strings.Contains(result.Stderr, bad) {
				t.Errorf("%s with arguments: %s", command, result.Stderr)
			}
		}
	}
	if len(listed) < 11 {
		t.Errorf("only %d commands are listed", len(listed)-1)
	}
}

// The packaged configuration is named, if there is one, only when no file is given.
func TestNamedFileIsMissing(t *testing.T) {
	for _, command := range both {
		result := harness.Run(t, command, "--config-file", "config.json")
		expect(t, result, exitConfig, "open config.json: no such file or directory")
		if strings.Contains(result.Stderr, "name yours") {
			t.Errorf("the flag was given: %s", result.Stderr)
		}
	}
}

// A port that needs a capability names it, for apps and for the admin API.
func TestPrivilegedPort(t *testing.T) {
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || strings.TrimSpace(string(text)) != "1024" {
		t.Skipf("SKIP: every user may listen on ports from %s", text)
	}
	const want = "permission denied: a port below 1024 needs the capability CAP_NET_BIND_SERVICE"
	file := write(t, `{"apps": [{"name": "web", "ports": ["127.0.0.1:80"], "targets": ["127.0.0.1:8080"]}]}`)
	expect(t, runUnprivileged(t, file, "--config-file", file), exitFailure, file+`:1:37: apps[0].ports[0]: app "web" cannot listen on 127.0.0.1:80: `+want)
	r := harness.New(t, "copy")
	file = write(t, fmt.Sprintf(`{"admin": {"listen": ["127.0.0.1:90"]}, "apps": [{"name": "web", "ports": [%q], "targets": ["127.0.0.1:8080"]}]}`, r.Address()))
	expect(t, runUnprivileged(t, file, "--config-file", file), exitFailure, "the admin API cannot listen on 127.0.0.1:90: "+want)
}

// A process that may not see who holds a port says how to find out.
func TestPortInUseByAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: a process of another user wants root")
	}
	taken := harness.New(t, "copy").Echo()
	file := write(t, fmt.Sprintf(`{"apps": [{"name": "shop", "ports": [%q], "targets": ["127.0.0.1:80"]}]}`, taken.Address))
	expect(t, runUnprivileged(t, file, "--config-file", file), exitFailure, taken.Address,
		`address already in use (by a process that cannot be seen from here: as root, "ss -ltnp" shows it)`)
}

// What is no socket is not taken for a proxy that does not run.
func TestStatusOnAFileThatIsNoSocket(t *testing.T) {
	file := write(t, smallest)
	for _, path := range []string{file, filepath.Dir(file)} {
		for _, arguments := range [][]string{{"status"}, {"reload"}, {"drain"}, {"undrain", "web", "10.0.0.1:80"}} {
			expect(t, harness.Run(t, append(arguments, "--socket", path)...), exitFailure,
				path+" is not a socket: name the admin socket of the proxy with --socket, or its configuration with --config-file")
		}
	}
	abandoned := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: abandoned, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	expect(t, harness.Run(t, "status", "--socket", abandoned), exitFailure, "tcp-proxy is not running: nobody listens on "+abandoned)
}

// The flag and the command print the same line.
func TestVersionFlag(t *testing.T) {
	flag, command := harness.Run(t, "--version"), harness.Run(t, "version")
	expect(t, flag, exitClean)
	if flag.Stdout != command.Stdout || flag.Stdout == "" {
		t.Errorf("--version prints %q, version %q", flag.Stdout, command.Stdout)
	}
}

// Flags that take one of a few words complete to these words, and arguments that do not exist to nothing.
func TestCompletionOfValues(t *testing.T) {
	levels := []string{"trace", "debug", "info", "warning", "error"}
	for _, c := range []struct {
		line string // its last word is completed
		want []string
	}{
		{"--engine ", []string{"loop", "copy"}},
		{"run --engine=", []string{"loop", "copy"}},
		{"--log-level ", levels},
		{"check --log-level ", levels},
		{"run --log-format ", []string{"auto", "journal", "text", "json"}},
		{"completion ", []string{"bash", "zsh", "fish"}},
		{"check --max-workers ", nil},
		{"check ", nil},
		{"run ", nil},
		{"reload ", nil},
		{"config ", nil},
		{"version ", nil},
	} {
		const noFiles = ":4" // cobra.ShellCompDirectiveNoFileComp
		result := harness.Run(t, append([]string{"__complete"}, strings.Split(c.line, " ")...)...)
		if got := strings.Split(strings.TrimSpace(result.Stdout), "\n"); !slices.Equal(got, append(slices.Clip(c.want), noFiles)) {
			t.Errorf("%q completes to %q, want %q", c.line, got, c.want)
		}
	}
	if result := harness.Run(t, "__complete", "check", "--config-file", ""); !strings.Contains(result.Stdout, ":0\n") {
		t.Errorf("--config-file does not complete to files: %q", result.Stdout)
	}
}

// The scripts of the shells ask the binary for the words. The one for bash is run, as after Tab.
func TestCompletionInShells(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if script := harness.Run(t, "completion", shell).Stdout; !strings.Contains(script, " __complete ") {
			t.Errorf("the script for %s does not ask the binary", shell)
		}
	}
	const tab = `
		_init_completion() { cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD; }
		compopt() { :; }
		source <("$1" completion bash) || exit
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_TYPE=9
		COMP_POINT=${#COMP_LINE}
		__start_tcp-proxy && printf '%s\n' "${COMPREPLY[@]}"`
	for line, want := range map[string]string{"run --engine c": "copy", "check --log-level w": "warning", "rel": "reload"} {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
		defer cancel()
		command := exec.CommandContext(ctx, "bash", append([]string{"-c", tab, "bash", harness.Binary()}, strings.Fields(line)...)...)
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		result := harness.RunCommand(t, command)
		if strings.TrimSpace(result.Stdout) != want {
			t.Errorf("%q completes to %q, want %q; %s", line, result.Stdout, want, result.Stderr)
		}
	}
}
