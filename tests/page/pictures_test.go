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
		{"first-hour", newcomer(), 1280, 800, "light", nil},
		{"first-hour-dark", newcomer(), 1280, 800, "dark", nil},
		{"first-hour-400", newcomer(), 400, 800, "light", nil},
		{"nothing", nobody(), 1280, 800, "light", nil},
		{"nothing-400-dark", nobody(), 400, 800, "dark", nil},
		{"300-targets", crowd(30, 10), 1280, 800, "light", nil},
		{"300-targets-dark", crowd(30, 10), 1280, 800, "dark", func(tab *chromium.Tab) { tab.Click("#by-target") }},
		{"300-targets-400", crowd(30, 10), 400, 800, "light", nil},
		{"long-names", longNames(), 1280, 800, "light", openAll},
		{"long-names-400-dark", longNames(), 400, 800, "dark", openAll},
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
			s.list(listing())
			s.config(running())
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

// openAll opens every section and the details of every row.
func openAll(tab *chromium.Tab) {
	tab.Eval(`document.querySelectorAll("#sessions-open, #config-open, #rows [data-does=more]").forEach((b) => b.click())`, nil)
	tab.Until("all is shown", `document.querySelector("#sessions-rows tr") && document.querySelector("#config-files pre")`)
	tab.Eval(`document.querySelector("#sessions").scrollIntoView()`, nil)
}

// newcomer is the proxy of somebody's first hour: one app, three targets, of which nobody has connected to one yet.
func newcomer() proxy.Snapshot {
	s := calm()
	s.Hostname, s.Started, s.Events, s.Names = "lb1", s.Taken.Add(-2*time.Minute), s.Events[:1], nil
	s.Reloads = proxy.Reloads{Succeeded: 1, LastSuccess: s.Started}
	s.Workers = proxy.Workers{Busy: 3, Max: 1000}
	s.Apps = s.Apps[:1]
	s.Apps[0].Ended, s.Apps[0].Active = map[string]uint64{"client_closed": 40}, 3
	s.Apps[0].Targets[2].Untested, s.Apps[0].Targets[2].Sessions, s.Apps[0].Targets[2].Connect = true, 0, 0
	s.Events[0].Time = s.Started
	return s
}

// nobody is a proxy whose only app has a name as its target, which has no address yet.
func nobody() proxy.Snapshot {
	s := newcomer()
	s.Apps[0].Targets, s.Apps[0].Active, s.Apps[0].Ended = []proxy.Target{}, 0, map[string]uint64{}
	s.Apps[0].Upload, s.Apps[0].Download = 0, 0
	s.Names = []proxy.Name{{Name: "web.internal:80", Problem: "no such host", Since: s.Started}}
	s.Workers.Busy = 0
	return s
}

// longNames is a proxy whose names are as long as they can be.
func longNames() proxy.Snapshot {
	s := trouble()
	s.Hostname = strings.Repeat("proxy-of-the-department-", 5) + ".example.net"
	s.Apps[0].Name = strings.Repeat("public-website-of-the-", 3)[:64]
	s.Apps[0].Targets[0].Name = "backend-with-a-long-name.namespace.svc.cluster.internal:8443/[2001:db8:1234:5678::9abc]:8443"
	s.Apps[0].Targets[1].Name = "unix:/srv/" + strings.Repeat("d", 90) + "/app.sock"
	return s
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
