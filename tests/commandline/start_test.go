package commandline

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

func TestPortInUse(t *testing.T) {
	r := harness.New(t, "copy")
	free, taken := r.Address(), r.Echo()
	file := write(t, fmt.Sprintf(`{"apps": [
  {"name": "mail", "ports": [%q], "targets": ["127.0.0.1:25"]},
  {"name": "shop", "ports": [%q], "targets": ["127.0.0.1:80"]}
]}`, free, taken.Address))
	// Who listens there is this very process.
	expect(t, harness.Run(t, "--config-file", file), exitFailure, "shop", taken.Address, "address already in use", strconv.Itoa(os.Getpid()))
	if _, err := r.TryDial(free); err == nil {
		t.Error("half of it has started")
	}
}

// Another process may listen on the same port of another address, and is not to blame.
func TestPortInUseNamesTheRightProcess(t *testing.T) {
	r, other := harness.New(t, "copy"), harness.New(t, "copy")
	p := r.StartApp(harness.App{Targets: []any{r.Refuse()}})
	_, port, err := net.SplitHostPort(p.Address())
	if err != nil {
		t.Fatal(err)
	}
	mine := other.EchoAt(net.JoinHostPort(other.Host, port))
	for address, pid := range map[string]int{p.Address(): p.PID(), mine.Address: os.Getpid()} {
		file := write(t, fmt.Sprintf(`{"apps": [{"name": "shop", "ports": [%q], "targets": ["127.0.0.1:80"]}]}`, address))
		expect(t, harness.Run(t, "--config-file", file), exitFailure, address, "address already in use", strconv.Itoa(pid))
	}
}

// A port may be held by a connection that goes out, though nobody listens there.
func TestPortHeldByAConnection(t *testing.T) {
	r := harness.New(t, "copy")
	held := r.DialFrom(r.Host, r.Echo().Address).LocalAddr().String()
	file := write(t, fmt.Sprintf(`{"apps": [{"name": "shop", "ports": [%q], "targets": ["127.0.0.1:80"]}]}`, held))
	expect(t, harness.Run(t, "--config-file", file), exitFailure, "shop", held, "address already in use (by an outgoing connection of ",
		fmt.Sprintf("PID %d)", os.Getpid()))
}

// What a process calls itself is any bytes. None of them acts on a terminal, or looks like a line of the proxy's own.
func TestPortInUseByAProcessWithABadName(t *testing.T) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile("/proc/self/comm", bytes.TrimSpace(comm), 0) })
	if err := os.WriteFile("/proc/self/comm", []byte("a\x1b[2J\nready\a"), 0); err != nil {
		t.Skip(err)
	}
	r := harness.New(t, "copy")
	port, taken, socket := r.Address(), r.Echo(), r.Path("admin.sock")
	text := func(port string) string {
		return fmt.Sprintf(`{"admin": {"listen": ["unix:%s"]}, "apps": [{"name": "shop", "ports": [%q], "targets": ["192.0.2.1:80"]}]}`, socket, port)
	}
	const want = `address already in use (by a\x1b[2J\nready\a, PID `
	shown := func(what, text string) {
		t.Helper()
		if !strings.Contains(text, want) {
			t.Errorf("%s does not say %s: %q", what, want, text)
		}
		if strings.ContainsAny(text, "\x1b\a") || strings.Contains(text, "\nready\\") {
			t.Errorf("%s has it raw: %q", what, text)
		}
	}
	shown("start", harness.Run(t, "--config-file", write(t, text(taken.Address))).Stderr)
	p := r.Start(harness.Config{Admin: &harness.Admin{Listen: []string{"unix:" + socket}},
		Apps: []harness.App{{Name: "shop", Ports: []any{port}, Targets: []any{"192.0.2.1:80"}}}})
	if err := os.WriteFile(r.Path("config.json"), []byte(text(taken.Address)), 0o644); err != nil {
		t.Fatal(err)
	}
	result := harness.Run(t, "reload", "--socket", socket)
	expect(t, result, exitFailure, "reload refused")
	shown("reload", result.Stderr)
	result = harness.Run(t, "status", "--socket", socket)
	shown("status", strings.Join(strings.Fields(result.Stdout), " "))
	harness.Eventually(t, "the log says so", func() bool { return p.Log.Count(harness.Warning("reload refused")) > 0 })
	shown("the log", p.Log.Lines(harness.Warning("reload refused"))[0].Message)
}

func TestUnixPortInUse(t *testing.T) {
	r := harness.New(t, "copy")
	taken := r.IdentifyAt("here", "unix:"+r.Path("taken.sock"))
	file := write(t, fmt.Sprintf(`{"apps": [{"name": "shop", "ports": [%q], "targets": ["127.0.0.1:80"]}]}`, taken.Address))
	expect(t, harness.Run(t, "--config-file", file), exitFailure, "shop", taken.Address, "address already in use")
	if name, err := r.Ask(taken.Address); name != "here" || err != nil {
		t.Errorf("the socket of a live server was taken away: %q, %v", name, err)
	}
}

// What is in the way of a unix port is removed if it is a dead socket, and never if it is anything else.
func TestFileInTheWayOfAUnixPort(t *testing.T) {
	r := harness.New(t, "copy")
	path := r.Path("precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := write(t, fmt.Sprintf(`{"apps": [{"name": "shop", "ports": ["unix:%s"], "targets": ["127.0.0.1:80"]}]}`, path))
	expect(t, harness.Run(t, "--config-file", file), exitFailure, "shop", path)
	if data, err := os.ReadFile(path); string(data) != "data" {
		t.Errorf("the file: %q, %v", data, err)
	}
}

func TestAddressOfAnotherMachine(t *testing.T) {
	file := write(t, `{"apps": [{"name": "shop", "ports": ["192.0.2.1:5001"], "targets": ["127.0.0.1:80"]}]}`)
	expect(t, harness.Run(t, "--config-file", file), exitFailure, "shop", "192.0.2.1:5001", "cannot assign")
}

// A target whose name means nothing is a dead target, not a refusal to start.
func TestUnresolvableTarget(t *testing.T) {
	for _, engine := range harness.Engines {
		t.Run(engine, func(t *testing.T) {
			r := harness.New(t, engine)
			const nowhere = "nowhere.invalid:80"
			p := r.Start(harness.Config{Apps: []harness.App{
				{Name: "both", Targets: []any{nowhere, r.Identify("here").Address}},
				{Name: "none", Targets: []any{"nobody.invalid:80"}},
			}})
			for range 4 {
				if name, err := r.Ask(p.Address()); name != "here" || err != nil {
					t.Fatalf("%q, %v", name, err)
				}
			}
			harness.Eventually(t, "the failure is logged", func() bool { return p.Log.Count(harness.Warning(nowhere)) > 0 })
			if n := p.Log.Count(harness.Warning(nowhere)); n != 1 {
				t.Errorf("%d warnings about %s, want 1", n, nowhere)
			}
			if record := p.RecordOfAddress(r.ExpectRefusal(p.AddressOf(1))); record.Cause != "no_target" {
				t.Errorf("cause = %s, want no_target", record.Cause)
			}
		})
	}
}

// The flag wins over the file, and the file over the default.
func TestMaxWorkers(t *testing.T) {
	for _, test := range []struct {
		file      int
		arguments []string
		want      float64
	}{
		{0, nil, 50},
		{7, nil, 7},
		{7, []string{"--max-workers", "9"}, 9},
		{0, []string{"--max-workers=9"}, 9},
	} {
		r := harness.New(t, "copy")
		p := r.Start(harness.Config{MaxWorkers: test.file, Apps: []harness.App{{Targets: []any{r.Refuse()}}}}, test.arguments...)
		if got := p.Log.Lines(harness.Ready)[0].Fields["workers"]; got != test.want {
			t.Errorf("file %d, flags %v: workers = %v, want %v", test.file, test.arguments, got, test.want)
		}
	}
}

// Without a word on the command line the proxy runs, on config.json of the working directory; comments, trailing commas
// and any case of the keys are fine.
func TestBareCommand(t *testing.T) {
	r := harness.New(t, "copy")
	port, target := r.Address(), r.Identify("here")
	file := write(t, fmt.Sprintf(`{
  // The original spelling.
  "Apps": [{"Name": "a", "Ports": [%q], /* one */ "Targets": [%q],},],
}`, port, target.Address))
	ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
	defer cancel()
	command := exec.CommandContext(ctx, harness.Binary())
	command.Dir = strings.TrimSuffix(file, "/config.json")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the proxy serves", func() bool {
		name, err := r.Ask(port)
		return err == nil && name == "here"
	})
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &stderr)
	}
	if c, err := net.Dial("tcp", port); err == nil {
		c.Close()
		t.Error("somebody still listens")
	}
}

// What packages prepare before main, every command pays for: here in bytes, as they are the same each time.
func TestLittleIsPreparedBeforeMain(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), harness.Binary(), "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1") // runtime, "Environment Variables"
	lines := regexp.MustCompile(`(?m)^init (tcp-proxy/\S+) .* ([0-9]+) bytes`).FindAllStringSubmatch(harness.RunCommand(t, cmd).Stderr, -1)
	if len(lines) == 0 {
		t.Fatal("the runtime says nothing of the packages")
	}
	const most = 1 << 20
	for _, line := range lines {
		if n, err := strconv.Atoi(line[2]); err != nil || n > most {
			t.Errorf("package %s allocates %s bytes before main, at most %d are meant to be", line[1], line[2], most)
		}
	}
}

// Whoever runs a template may call any exported method, so the linker keeps them all.
func TestNoTemplateIsLinked(t *testing.T) {
	program, err := os.ReadFile(harness.Binary())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(program, []byte("github.com/spf13/cobra.(*Command).ExecuteC")) {
		t.Fatal("the names of functions are not in the program")
	}
	if bytes.Contains(program, []byte("text/template.(*Template).Execute")) {
		t.Error("the program has text/template, and with it the methods of everything")
	}
}
