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

// mistakes are n of them, all of one reload.
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
			t.Errorf("reload %d is told: %v", reload, got)
		}
	}
	pass(0, 150, 1, true)
	pass(1, 50, 2, true)
	if u.due() != nil {
		t.Error("something is held")
	}
	pass(2, 1, 3, false)
	pass(3, 300, 4, false)
	pass(11, 2, 5, false) // what is held is to be told first
	held, leftOut := u.take(start.Add(12 * time.Second))
	if len(held) != 2 || leftOut != 2 || held[0].Error() != "mistake 0 of reload 5." {
		t.Errorf("%v are told, %d left out", held, leftOut)
	}
	pass(13, 198, 6, true)
	pass(14, 1, 7, false)
	if n := u.forget(); n != 1 || u.due() != nil {
		t.Errorf("%d reloads are forgotten", n)
	}
	pass(15, 1, 8, false)
	u.forget()
	pass(22, 300, 9, true) // one is told in every interval, however much it has
	pass(23, 1, 10, false)
}

// refuses has a reload be refused with mistakes of its own.
func (r *running) refuses(t *testing.T, n, reload int) {
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

// However many reloads are refused, the log has so many entries of them, and the last ones when the daemon stops.
func TestRefusedReloadsAreBounded(t *testing.T) {
	m := newManager(t)
	m.listens()
	r := startWith(t, m, simple(t), func(d *Daemon) { d.throttle.every = time.Hour })
	const all = 50
	for i := range all {
		r.refuses(t, 101, i)
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

// What was held back is told when its time has come.
func TestTheLastRefusedReloadIsTold(t *testing.T) {
	m := newManager(t)
	m.listens()
	r := startWith(t, m, simple(t), func(d *Daemon) { d.throttle.every = 200 * time.Millisecond })
	last := 0
	testkit.Eventually(t, "a reload is left out", func() bool { // a busy machine may take longer for a reload
		if strings.Contains(r.log.String(), "left_out=") {
			return true
		}
		for range 10 {
			last++
			r.refuses(t, 150, last)
		}
		r.awaits(t, fmt.Sprintf("mistake 149 of reload %d.", last))
		return false
	})
	r.end(t)
}

// A reload that succeeds is the last that is told, with how many were left out before it.
func TestASuccessIsToldLast(t *testing.T) {
	m := newManager(t)
	m.listens()
	cfg := simple(t)
	r := startWith(t, m, cfg, func(d *Daemon) { d.throttle.every = time.Hour })
	for i := range 5 {
		r.refuses(t, 150, i)
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
		t.Error("a refused reload that was held back is told")
	}
}

// A file that is written again and again with the same mistakes is told once, and with others when it has others.
func TestTheSameMistakesAreToldOnce(t *testing.T) {
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
	m.listens()
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
	if _, err := r.daemon.Reload(context.Background()); err == nil { // who orders it is told again
		t.Error("the reload is not refused")
	}
	refused(mistakes)
	r.end(t)
	log := r.log.String()
	for text, want := range map[string]int{"not 0": 2, "is not a name": 2, `\"tragets`: 2} {
		if n := strings.Count(log, text); n != want {
			t.Errorf("%q is told %d times, want %d:\n%s", text, n, want, log)
		}
	}
}
