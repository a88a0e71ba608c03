package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/testkit"
)

// mistakes returns n errors of a reload.
func mistakes(n, reload int) error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = fmt.Errorf("mistake %d of reload %d.", i, reload)
	}
	return errors.Join(errs...)
}

func TestThrottle(t *testing.T) {
	u := throttle{every: 10 * time.Second}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	pass := func(seconds, n, reload int, want bool) {
		t.Helper()
		if got := u.pass(problems(mistakes(n, reload)), start.Add(time.Duration(seconds)*time.Second)); got != want {
			t.Errorf("reload %d is logged: %v", reload, got)
		}
	}
	pass(0, 150, 1, true)
	pass(1, 50, 2, true)
	if u.due() != nil {
		t.Error("something is held")
	}
	pass(2, 1, 3, false)
	pass(3, 300, 4, false)
	pass(11, 2, 5, false) // the held one is logged first
	held, leftOut := u.take(start.Add(12 * time.Second))
	if len(held) != 2 || leftOut != 2 || held[0].Error() != "mistake 0 of reload 5." {
		t.Errorf("%v are logged, %d left out", held, leftOut)
	}
	pass(13, 198, 6, true)
	pass(14, 1, 7, false)
	if n := u.forget(); n != 1 || u.due() != nil {
		t.Errorf("%d reloads are dropped", n)
	}
	pass(15, 1, 8, false)
	u.forget()
	pass(22, 300, 9, true) // one is logged in every interval, with any number of errors
	pass(23, 1, 10, false)
}

// refuse requests a reload that is refused with errors of its own.
func (r *running) refuse(t *testing.T, n, reload int) {
	t.Helper()
	r.replace(func() (*config.Config, error) { return nil, mistakes(n, reload) })
	if _, err := r.daemon.Reload(context.Background()); err == nil {
		t.Fatal("the reload is not refused")
	}
}

// awaits waits for a text in the log.
func (r *running) awaits(t *testing.T, text string) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("the log has %q", text), func() bool { return strings.Contains(r.log.String(), text) },
		func() any { return "the log:\n" + r.log.String() })
}

// The number of log entries about refused reloads is bounded. Those of the last one are written when the daemon stops.
func TestRefusedReloadsAreBounded(t *testing.T) {
	m := newManager(t)
	m.discards()
	r := startWith(t, m, simple(t), func(d *Daemon) { d.throttle.every = time.Hour })
	const all = 50
	for i := range all {
		r.refuse(t, 101, i)
	}
	r.end(t)
	if n := strings.Count(r.log.String(), "reload refused"); n != 2*101 {
		t.Errorf("%d entries", n)
	}
	for _, want := range []string{"mistake 100 of reload 0.", "mistake 100 of reload 49.", fmt.Sprintf("left_out=%d", all-2)} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not have %q", want)
		}
	}
}

// A held reload is logged at the end of the interval.
func TestTheLastRefusedReloadIsLogged(t *testing.T) {
	m := newManager(t)
	m.discards()
	r := startWith(t, m, simple(t), func(d *Daemon) { d.throttle.every = 200 * time.Millisecond })
	last := 0
	testkit.Eventually(t, "a reload is left out", func() bool { // a busy machine may take longer for a reload
		if strings.Contains(r.log.String(), "left_out=") {
			return true
		}
		for range 10 {
			last++
			r.refuse(t, 150, last)
		}
		r.awaits(t, fmt.Sprintf("mistake 149 of reload %d.", last))
		return false
	})
	r.end(t)
}

// After a reload that succeeds, no refused one is logged. Its entry has the number of those that were left out.
func TestASuccessIsLoggedLast(t *testing.T) {
	m := newManager(t)
	m.discards()
	cfg := simple(t)
	r := startWith(t, m, cfg, func(d *Daemon) { d.throttle.every = time.Hour })
	for i := range 5 {
		r.refuse(t, 150, i)
	}
	r.replace(func() (*config.Config, error) { return cfg, nil })
	if _, err := r.daemon.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.end(t)
	log := r.log.String()
	if _, after, _ := strings.Cut(log, "reloaded: "); !strings.Contains(after, "left_out=4") || strings.Contains(after, "reload refused") {
		t.Errorf("the log after the reload: %.1000s", after)
	}
	if strings.Contains(log, "of reload 4.") {
		t.Error("a refused reload that was held is logged")
	}
}

// The errors of a file that is written several times with the same errors are logged once, and logged again when they change.
func TestTheSameMistakesAreLoggedOnce(t *testing.T) {
	m := newManager(t)
	path := filepath.Join(t.TempDir(), "config.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	good := `{"reload": "auto", "apps": [{"name": "a", "ports": ["127.0.0.1:` + freePort(t) + `"], "targets": ["127.0.0.1:1"]}]}`
	write(good)
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	r := startWith(t, m, cfg, func(d *Daemon) { d.source.File = path })
	m.discards()
	r.replace(func() (*config.Config, error) { return config.Load(path) })
	refused := func(text string) {
		t.Helper()
		before := r.daemon.server.Snapshot().Reloads.Refused
		write(text)
		testkit.Eventually(t, text+" is refused", func() bool { return r.daemon.server.Snapshot().Reloads.Refused > before })
	}
	const mistakes = `{"apps": [{"name": "-", "ports": [0], "targets": ["a:1"]}]}`
	for i := range 4 {
		refused(fmt.Sprintf("%s // written %d times", mistakes, i))
	}
	refused(`{"tragets": 1}`)
	if _, err := r.daemon.Reload(context.Background()); err == nil { // a requested reload is always logged
		t.Error("the reload is not refused")
	}
	refused(mistakes)
	r.end(t)
	log := r.log.String()
	for text, want := range map[string]int{"not 0": 2, "is not a name": 2, `\"tragets`: 2} {
		if n := strings.Count(log, text); n != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", text, n, want, log)
		}
	}
}
