package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// version.sh gives a version that Debian and RPM accept, from $VERSION or from git.
func TestVersion(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "packaging"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(folder, "packaging/version.sh")
	if err := os.WriteFile(script, []byte(read(t, "version.sh")), 0o755); err != nil {
		t.Fatal(err)
	}
	// Nothing outside the folder has an effect: neither a repository around it nor the configuration of a user.
	env := append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(folder), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_DIR="+filepath.Join(folder, ".git"), "GIT_WORK_TREE="+folder, "VERSION=")
	run := func(extra string, command ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir = folder
		cmd.Env = append(env, extra)
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	git := func(args ...string) string {
		t.Helper()
		out, err := run("", append([]string{"git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"}, args...)...)
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return out
	}
	expect := func(want, variable string) {
		t.Helper()
		if got, err := run("VERSION="+variable, script); err != nil || got != want {
			t.Errorf("with VERSION=%q the version is %q, %v, want %q", variable, got, err, want)
		}
	}
	short := func() string { return git("rev-parse", "--short=12", "HEAD") }

	expect("0.0.0+unknown", "")
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	expect("0.0.0+1."+short(), "")
	git("tag", "v1.2.3")
	expect("1.2.3", "")
	git("commit", "-q", "--allow-empty", "-m", "two")
	expect("1.2.3+1."+short(), "")
	git("tag", "v1.3.0-rc1")
	expect("1.3.0~rc1", "")
	if err := os.WriteFile(script, []byte(read(t, "version.sh")+"# changed\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	expect("1.3.0~rc1+dirty", "")
	git("commit", "-q", "--allow-empty", "-m", "three")
	expect("1.3.0~rc1+1."+short()+".dirty", "")

	expect("2.0.0", "2.0.0")
	expect("2.0.0", "v2.0.0")
	for _, bad := range []string{"version", "1.0 ", "1.0_1", "1;2", "-1"} {
		if out, err := run("VERSION="+bad, script); err == nil {
			t.Errorf("VERSION=%q is accepted, as %q", bad, out)
		}
	}
}

// The program that `make` builds has the version of version.sh, as the packages have, and prints it in every way.
func TestOneVersion(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("SKIP: make is not installed")
	}
	if script := read(t, "package.sh"); !strings.Contains(script, "VERSION=$(packaging/version.sh)\n") || !strings.Contains(script, "main.version=$VERSION") {
		t.Error("package.sh does not take the version from version.sh, for the packages and the program")
	}
	for _, given := range []string{"", "v1.2.3-rc1"} {
		version := exec.CommandContext(t.Context(), "./version.sh")
		version.Env = append(os.Environ(), "VERSION="+given)
		out, err := version.Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSpace(string(out))
		show := exec.CommandContext(t.Context(), "make", "-n", "build", "VERSION="+given)
		show.Dir = ".."
		recipe, err := show.CombinedOutput()
		if err != nil || !strings.Contains(string(recipe), "-X main.version="+want+"'") {
			t.Errorf("make does not build the version %q: %v\n%s", want, err, recipe)
		}
	}
	program := filepath.Join(t.TempDir(), "tcp-proxy")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version=1.2.3", "-o", program, "tcp-proxy/cmd/tcp-proxy")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, way := range []string{"version", "--version"} {
		out, err := exec.CommandContext(t.Context(), program, way).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "tcp-proxy 1.2.3 (go") {
			t.Errorf("tcp-proxy %s: %v\n%s", way, err, out)
		}
	}
}

// The changelog of the Debian package closes no bug of Debian.
func TestChangelogClosesNothing(t *testing.T) {
	if strings.Contains(strings.ToLower(read(t, "package.sh")), "closes:") {
		t.Error("package.sh writes a changelog that closes bugs")
	}
}
