package packaging

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A purge removes what the service and its instances have in /etc, and nothing that belongs to another unit or to a unit
// that the administrator has written.
func TestPurge(t *testing.T) {
	root := t.TempDir()
	units := "/etc/systemd/system/"
	write := func(name string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name, to string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"/etc/tcp-proxy/web.json", "/etc/tcp-proxy/conf.d/a.json",
		units + "tcp-proxy.service.d/override.conf", units + "tcp-proxy@.service.d/override.conf",
		units + "tcp-proxy@web.service.d/override.conf", units + "tcp-proxy.socket.d/override.conf"} {
		write(file)
	}
	link(units+"multi-user.target.wants/tcp-proxy@web.service", "/usr/lib/systemd/system/tcp-proxy@.service")
	link(units+"sockets.target.wants/tcp-proxy@web.socket", "/usr/lib/systemd/system/tcp-proxy@.socket")
	link(units+"db.service.requires/tcp-proxy@db.service", "/usr/lib/systemd/system/tcp-proxy@.service")
	link(units+"tcp-proxy@never.service", "/dev/null")

	write("/etc/tcp-proxy-other.conf")
	write(units + "tcp-proxy@mine.service")
	write(units + "tcp-proxy@mine.service.d/override.conf")
	write(units + "tcp-proxy-exporter.service.d/override.conf")
	link(units+"multi-user.target.wants/tcp-proxy@mine.service", units+"tcp-proxy@mine.service")
	link(units+"multi-user.target.wants/tcp-proxy-exporter.service", "/gone")
	link(units+"multi-user.target.wants/ssh.service", "/gone")

	for range 2 { // again, as dpkg may do it
		cmd := exec.CommandContext(t.Context(), "sh", "deb/postrm", "purge")
		cmd.Env = append(os.Environ(), "DPKG_ROOT="+root)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("postrm: %v\n%s", err, out)
		}
	}
	var left []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.Contains(path, "/var/lib/systemd/") {
			left = append(left, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/etc/tcp-proxy-other.conf", units + "multi-user.target.wants/ssh.service",
		units + "multi-user.target.wants/tcp-proxy-exporter.service", units + "multi-user.target.wants/tcp-proxy@mine.service",
		units + "tcp-proxy-exporter.service.d/override.conf",
		units + "tcp-proxy@mine.service", units + "tcp-proxy@mine.service.d/override.conf"}
	slices.Sort(left)
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("the purge leaves\n%s\nand should leave\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}
	// A folder of drop-ins that is empty would still be found by its name.
	if found, err := filepath.Glob(filepath.Join(root, units, "tcp-proxy.*")); err != nil || len(found) != 0 {
		t.Errorf("the purge leaves %s, %v", found, err)
	}
}
