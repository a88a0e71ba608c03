package page

import (
	"flag"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tcp-proxy/internal/proxy"
	"tcp-proxy/tests/page/chromium"
)

var pictures = flag.String("pictures", "", "a folder to write pictures of the page into")

// What the page looks like is for eyes to judge: go test ./tests/page -run Pictures -pictures FOLDER
func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("nobody has asked for pictures")
	}
	defer func(was time.Time) { night = was }(night)
	night = time.Now().UTC().Truncate(time.Second)
	for _, p := range []struct {
		name          string
		answer        proxy.Snapshot
		width, height int
		scheme        string
		act           func(tab *chromium.Tab)
	}{
		{"desktop", trouble(), 1440, 900, "light", nil},
		{"desktop-dark", trouble(), 1440, 900, "dark", nil},
		{"details", trouble(), 1440, 900, "light", func(tab *chromium.Tab) {
			tab.Click(`tr[data-key="target web 10.0.0.2:80"] [data-does=more]`)
			tab.Click(`tr[data-key="app web"] [data-does=more]`)
		}},
		{"gone", trouble(), 1440, 900, "light", nil},
		{"gone-dark", trouble(), 1440, 900, "dark", nil},
		{"calm", calm(), 1440, 900, "light", nil},
		{"laptop", trouble(), 1280, 800, "dark", nil},
		{"small", trouble(), 1024, 768, "light", nil},
		{"tablet", trouble(), 820, 1100, "light", nil},
		{"phone", trouble(), 360, 740, "dark", nil},
		{"phone-list", trouble(), 360, 740, "light", func(tab *chromium.Tab) { tab.Eval(`document.querySelector("#list").scrollIntoView()`, nil) }},
		{"many", crowd(1000, 10), 1440, 900, "light", nil},
		{"many-targets", crowd(1000, 10), 1440, 900, "light", func(tab *chromium.Tab) {
			tab.Click("#by-target")
			tab.Click("thead .sessions button")
			tab.Eval(`document.querySelector("#list").scrollIntoView()`, nil)
		}},
	} {
		t.Run(p.name, func(t *testing.T) {
			s := serve(t, p.answer)
			s.play(p.answer)
			s.expects = "Failed to load resource"
			tab := open(t, s, p.width, p.height)
			tab.Prefer("prefers-color-scheme", p.scheme)
			for s.polls.Load() < rounds {
				tab.Eval(`document.dispatchEvent(new Event("visibilitychange"))`, nil)
			}
			if p.act != nil {
				p.act(tab)
			}
			if strings.HasPrefix(p.name, "gone") {
				s.stop()
				tab.Until("the page says so", `!document.querySelector("#gone").hidden`)
				s.start()
				s.code.Store(500)
			}
			tab.Picture(filepath.Join(*pictures, p.name+".png"))
		})
	}
}

// rounds is how many answers fill the lines.
const rounds = 150

// play lets the answer live: each time it is asked for, two seconds have passed.
func (s *site) play(snapshot proxy.Snapshot) {
	var mu sync.Mutex
	waves := map[string]float64{}
	snapshot = later(snapshot, -rounds*2*time.Second)
	step := func() proxy.Snapshot {
		mu.Lock()
		defer mu.Unlock()
		snapshot = later(snapshot, 2*time.Second)
		snapshot.Workers.Busy = 0
		snapshot.Apps = slices.Clone(snapshot.Apps)
		for i := range snapshot.Apps {
			a := &snapshot.Apps[i]
			wave, known := waves[a.Name]
			if !known {
				wave = 1
			}
			wave = max(0.2, min(2, wave+rand.Float64()*0.3-0.15))
			waves[a.Name] = wave
			swell(a, i, wave)
			snapshot.Workers.Busy += int(a.Active)
		}
		return snapshot
	}
	s.live.Store(&step)
}

// swell is what an app does in two seconds.
func swell(a *proxy.App, i int, wave float64) {
	a.Targets, a.Ended = slices.Clone(a.Targets), maps.Clone(a.Ended)
	alive := false
	for j := range a.Targets {
		if t := &a.Targets[j]; t.State == "alive" {
			alive = true
			t.Connect += 0.2 * (0.0004*wave*float64(1+j%4)*(0.8+0.4*rand.Float64()) - t.Connect)
			t.Sessions += uint64(wave * 20)
			t.Upload, t.Download = t.Upload+int64(wave*1e5), t.Download+int64(wave*4e6)
			t.Active += int64(0.2 * (wave*float64(20+7*(i%5)+j) - float64(t.Active)))
		}
	}
	if !alive {
		a.Ended["connect_failed"] += uint64(wave * 20)
		a.Active = 0
		return
	}
	a.Upload += int64(wave * 2e5 * float64(1+i%7))
	a.Download += int64(wave * 9e6 * float64(1+i%5))
	a.Active += int64(0.1 * (wave*float64(300+20*(i%9)) - float64(a.Active)))
	a.Ended["client_closed"] += uint64(wave * 60)
}
