// Package packaging has no code: its tests hold what is packaged to what the program does.
package packaging

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
)

var update = flag.Bool("update", false, "write the keys into the manual")

const manual = "man/tcp-proxy.json.5"

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The manual has every key of the configuration, with its type, range, default and text.
func TestManualHasEveryKey(t *testing.T) {
	text := read(t, manual)
	begin := strings.Index(text, ".Bl -tag -width Ds\n")
	end := strings.Index(text, ".\\\" The end of the list.\n")
	if begin < 0 || end < begin {
		t.Fatalf("%s has no list of keys", manual)
	}
	want := text[:begin] + keyList() + text[end:]
	if *update {
		if err := os.WriteFile(manual, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		text = want
	}
	if text != want {
		t.Errorf("%s does not have the keys of the configuration as they are: go test ./packaging -update", manual)
	}
}

// keyList gives the keys as a list of mdoc(7).
func keyList() string {
	var b strings.Builder
	b.WriteString(".Bl -tag -width Ds\n")
	for _, key := range config.Keys() {
		if strings.HasPrefix(key.Path, "defaults.") {
			continue // they are those of an app
		}
		fmt.Fprintf(&b, ".It Cm %s\n", key.Path)
		about := []string{key.Type}
		if key.Range != "" {
			about = append(about, key.Range)
		}
		switch {
		case key.Required:
			about = append(about, "required")
		case key.Default != "":
			about = append(about, "default "+key.Default)
		}
		fmt.Fprintf(&b, "%s\n.br\n", wrap("("+strings.Join(about, "; ")+")"))
		for sentence := range strings.SplitSeq(strings.ReplaceAll(key.Doc, ". ", ".\n"), "\n") {
			fmt.Fprintln(&b, wrap(sentence))
		}
	}
	b.WriteString(".El\n")
	return b.String()
}

// wrap makes lines of text for roff(7), which begin with no control character and are not longer than mandoc(1) likes.
func wrap(text string) string {
	const width = 80
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
		if line[0] == '.' || line[0] == '\'' {
			line = `\&` + line
		}
	}
	return strings.Join(append(lines, line), "\n")
}

// The manual's examples are configurations without a mistake.
func TestManualExamples(t *testing.T) {
	examples := 0
	for _, page := range []string{"man/tcp-proxy.8", manual} {
		for _, m := range regexp.MustCompile(`(?s)\.Bd -literal -offset indent\n(\{.*?)\.Ed\n`).FindAllStringSubmatch(read(t, page), -1) {
			examples++
			if _, err := config.Parse(page, []byte(m[1])); err != nil {
				t.Errorf("%v in\n%s", err, m[1])
			}
		}
	}
	if examples != 2 {
		t.Errorf("%d examples, want 2", examples)
	}
}

// The manual has every command and every option.
func TestManualHasEveryOption(t *testing.T) {
	text := read(t, "man/tcp-proxy.8")
	program := filepath.Join(t.TempDir(), "tcp-proxy")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "tcp-proxy/cmd/tcp-proxy").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found := 0
	for _, command := range []string{"run", "check", "status", "reload", "drain", "undrain"} {
		help, err := exec.CommandContext(t.Context(), program, command, "--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`).FindAllStringSubmatch(string(help), -1) {
			found++
			if m[1] != "help" && !strings.Contains(text, "Fl -"+m[1]) {
				t.Errorf("tcp-proxy(8) does not have --%s of %s", m[1], command)
			}
		}
	}
	help, err := exec.CommandContext(t.Context(), program, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(help), "Available Commands:\n")
	commands, _, _ = strings.Cut(commands, "\n\n")
	for line := range strings.Lines(commands) {
		name := strings.Fields(line)[0]
		found++
		if name != "help" && !strings.Contains(text, ".It Cm "+name+"\n") {
			t.Errorf("tcp-proxy(8) does not have the command %s", name)
		}
	}
	if found < 15 {
		t.Errorf("%d options and commands in the help texts", found)
	}
}

// The manual lists every cause that a session's record can have, and no other.
func TestManualHasEveryCause(t *testing.T) {
	_, list, _ := strings.Cut(read(t, "man/tcp-proxy.8"), "which is one of\n")
	list, _, found := strings.Cut(list, "\nIf ")
	if !found {
		t.Fatal("tcp-proxy(8) has no list of causes")
	}
	var listed, causes []string
	for line := range strings.Lines(list) {
		if names, ok := strings.CutPrefix(line, ".Cm "); ok {
			listed = append(listed, regexp.MustCompile(`\w+`).FindAllString(names, -1)...)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\t\w+ +Cause += "(\w+)"`).FindAllStringSubmatch(read(t, "../internal/relay/cause.go"), -1) {
		causes = append(causes, m[1])
	}
	slices.Sort(listed)
	slices.Sort(causes)
	if len(causes) < 10 || !slices.Equal(listed, causes) {
		t.Errorf("tcp-proxy(8) lists the causes %v, the code has %v", listed, causes)
	}
}

// What mandoc(1) finds wrong with the manual, down to style.
// The shipped configuration shows each key of the top level once, also in comments: who edits one must not overlook another.
func TestShippedConfigShowsEachKeyOnce(t *testing.T) {
	const shipped = "../etc/tcp-proxy/config.json"
	text := read(t, shipped)
	if _, err := config.Parse(shipped, []byte(text)); err != nil {
		t.Error(err)
	}
	for _, key := range config.Keys() {
		if n := strings.Count(text, fmt.Sprintf("%q:", key.Path)); n > 1 {
			t.Errorf("%s shows %q %d times", shipped, key.Path, n)
		}
	}
}

func TestManualLint(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Skip("mandoc is not installed")
	}
	for _, page := range []string{"man/tcp-proxy.8", manual} {
		out, _ := exec.CommandContext(t.Context(), "mandoc", "-T", "lint", "-W", "style", page).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			// Other packages' manuals need not be installed where this runs.
			if !strings.Contains(line, "referenced manual not found") && !strings.Contains(line, "outdated mandoc.db") {
				t.Error(strings.TrimSpace(line))
			}
		}
	}
}

// The catalog explains every event that the program logs with a message ID, and names fields that the events have.
func TestCatalog(t *testing.T) {
	text := read(t, "systemd/tcp-proxy.catalog")
	var got, want []string
	for _, m := range regexp.MustCompile(`(?m)^-- ([0-9a-f]{32})\nSubject: .+\nDefined-By: tcp-proxy\n`).FindAllStringSubmatch(text, -1) {
		got = append(got, m[1])
	}
	for _, event := range logging.Events() {
		want = append(want, event.MessageID())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the catalog explains %v, the events are %v", got, want)
	}
	if n := strings.Count(text, "\n-- ") + 1; n != len(got) {
		t.Errorf("%d entries, %d in good form", n, len(got))
	}
}

// The unit of instances is the unit, with the instance's files.
func TestTemplateIsTheService(t *testing.T) {
	instance := strings.NewReplacer(
		"Description=TCP proxy\n", "Description=TCP proxy, instance %i\n",
		"/etc/tcp-proxy/config.json", "/etc/tcp-proxy/%i.json",
		"RuntimeDirectory=tcp-proxy\n", "RuntimeDirectory=tcp-proxy-%i\n",
		"/run/tcp-proxy/", "/run/tcp-proxy-%i/",
	).Replace(read(t, "systemd/tcp-proxy.service"))
	if instance != read(t, "systemd/tcp-proxy@.service") {
		t.Error("tcp-proxy@.service is not tcp-proxy.service with the files of an instance")
	}
}

// The packaged configuration gives open sessions time when an upgrade restarts the service, and no more than a stop may take
// at the shutdown of a machine.
func TestPackagedDrainTimeout(t *testing.T) {
	cfg, err := config.Load("../etc/tcp-proxy/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DrainTimeout < 5*time.Second || cfg.DrainTimeout > 30*time.Second {
		t.Errorf("drain_timeout is %v", cfg.DrainTimeout)
	}
}

// What the package installs is there.
func TestPackagedFilesExist(t *testing.T) {
	for _, m := range regexp.MustCompile(`(?m)^ +(?:- src|postinstall|preremove|postremove): (\S+)$`).FindAllStringSubmatch(read(t, "nfpm.yaml"), -1) {
		if strings.HasPrefix(m[1], "${PACKAGE_STAGE}/") {
			continue // made by package.sh
		}
		if _, err := os.Stat("../" + m[1]); err != nil {
			t.Error(err)
		}
	}
}

// Scripts of the packages, and those that say what is in them, run with nothing but a POSIX shell.
func TestScriptsParse(t *testing.T) {
	for _, script := range []string{"deb/postinst", "deb/prerm", "deb/postrm", "rpm/post", "rpm/preun", "rpm/postun", "docs.sh", "version.sh"} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, bytes.TrimSpace(out))
		}
	}
}

// An upgrade decides in the same way in both formats whether a service may be restarted.
func TestScriptsShareTheCheckOfAnUpgrade(t *testing.T) {
	functions := func(script string) string {
		text := read(t, script)
		begin, last := strings.Index(text, "# accepted PID "), strings.Index(text, "\nrunning_instances() {\n")
		if begin < 0 || last < begin {
			t.Fatalf("%s does not have accepted to running_instances", script)
		}
		body, _, _ := strings.Cut(text[last:], "\n}\n")
		return text[begin:last] + body
	}
	if functions("deb/postinst") != functions("rpm/postun") {
		t.Error("deb/postinst and rpm/postun differ in accepted, may_restart or running_instances")
	}
}
