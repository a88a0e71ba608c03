package admin

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
)

const someConfig = `{"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"], "probe": {"send": "AUTH secret", "expect": "+OK"}}]} // of a test
`

// loaded writes a configuration file and reads it.
func loaded(t *testing.T, text string) proxy.Running {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return proxy.Running{Config: c, File: path, Since: time.Now().Round(0)}
}

func (a *api) config(address config.AdminAddress) (c Config) {
	a.Helper()
	got := a.ask(address, http.MethodGet, "/api/v1/config")
	if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.code != http.StatusOK || got.header.Get("Content-Type") != "application/json" {
		a.Fatalf("%d %s: %v", got.code, got.body, err)
	}
	return c
}

// The configuration is the one that was read, at every address, whatever happens to its file; what a probe sends is left out.
func TestConfig(t *testing.T) {
	a := start(t)
	r := loaded(t, someConfig)
	if err := r.Config.Override("max_workers", "7"); err != nil {
		t.Fatal(err)
	}
	a.node.Config, a.node.File = r.Config, r.File
	text := strings.Replace(someConfig, "AUTH secret", "[redacted]", 1)
	for _, address := range []config.AdminAddress{a.socket, a.tcp} {
		c := a.config(address)
		if c.Version != ConfigVersion || c.File != r.File || c.ActiveSince.IsZero() || c.OnDisk != OnDiskSame {
			t.Errorf("%+v", c)
		}
		if !slices.Equal(c.Files, []ConfigFile{{r.File, text}}) || !slices.Equal(c.Overrides, []Override{{"max_workers", "7"}}) {
			t.Errorf("files %q, overrides %q", c.Files, c.Overrides)
		}
	}
	if err := os.WriteFile(r.File, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Server.running.disk.began = time.Time{} // the checksum is old
	if c := a.config(a.tcp); c.OnDisk != OnDiskChanged || c.Files[0].Text != text {
		t.Errorf("after a change of the file: %+v", c)
	}
	next := loaded(t, strings.Replace(someConfig, "5001", "5002", 1))
	a.node.Config, a.node.File = next.Config, next.File
	if c := a.config(a.tcp); c.OnDisk != OnDiskSame || !strings.Contains(c.Files[0].Text, "5002") || len(c.Overrides) != 0 {
		t.Errorf("after a reload: %+v", c)
	}
	a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/config"), http.StatusMethodNotAllowed, "takes GET")
}

// A configuration of many megabytes is rendered once for all requests.
func TestConfigIsRenderedOnce(t *testing.T) {
	r, c := loaded(t, someConfig), &runningConfig{}
	render := func(gzipped bool) *byte {
		t.Helper()
		text, err := c.render(r, gzipped)
		if err != nil {
			t.Fatal(err)
		}
		return &text[0]
	}
	plain, gzipped := render(false), render(true)
	if render(false) != plain || render(true) != gzipped || plain == gzipped {
		t.Error("it is rendered again, although nothing has changed")
	}
	if err := os.Remove(r.File); err != nil {
		t.Fatal(err)
	}
	c.disk.began = time.Time{}
	if render(false) == plain {
		t.Error("it is not rendered again, although its file is gone")
	}
}

// A file system that hangs delays an answer a little, and no more than one goroutine waits for it.
func TestConfigOnADiskThatHangs(t *testing.T) {
	r := loaded(t, someConfig)
	synctest.Test(t, func(t *testing.T) {
		c := runningConfig{disk: disk{reading: make(chan struct{})}} // somebody reads
		for range 3 {
			begun := time.Now()
			text, err := c.render(r, false)
			if took := time.Since(begun); err != nil || took != sumPatience || !strings.Contains(string(text), `"on_disk":"unknown"`) {
				t.Errorf("after %v: %s, %v", took, text, err)
			}
		}
	})
}

// A checksum from before a reload says nothing about the file that was read then.
func TestConfigAfterAReload(t *testing.T) {
	r, d := loaded(t, someConfig), &disk{}
	if got := d.compare(r); got != OnDiskSame {
		t.Fatalf("the file is %s", got)
	}
	if err := os.WriteFile(r.File, []byte(someConfig+" "), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(r.File)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.compare(proxy.Running{Config: c, File: r.File, Since: time.Now()}); got != OnDiskSame {
		t.Errorf("right after the reload the file is %s", got)
	}
}
