package page

import (
	"flag"
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tcp-proxy/internal/proxy"
)

var pictures = flag.String("pictures", "", "a folder to write pictures of the page into")

// What the page looks like is for eyes to judge: go test ./tests/page -run Pictures -pictures FOLDER
func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("nobody has asked for pictures")
	}
	night = time.Now().UTC().Truncate(time.Second)
	for _, p := range []struct {
		name          string
		answer        proxy.Snapshot
		width, height int
		scheme        string
	}{
		{"light", trouble(), 1440, 900, "light"},
		{"dark", trouble(), 1440, 900, "dark"},
		{"phone", trouble(), 360, 740, "dark"},
		{"crowd", crowd(1000, 10), 1440, 900, "light"},
		{"calm", calm(), 1440, 900, "light"},
		{"tablet", trouble(), 820, 1100, "light"},
	} {
		t.Run(p.name, func(t *testing.T) {
			s := serve(t, p.answer)
			s.play(p.answer)
			tab := open(t, s, p.width, p.height)
			tab.Prefer("prefers-color-scheme", p.scheme)
			for deadline := time.Now().Add(30 * time.Second); s.polls.Load() < rounds && time.Now().Before(deadline); {
				tab.Eval(`document.documentElement.dataset.poll = 10, document.dispatchEvent(new Event("visibilitychange"))`, nil)
				time.Sleep(10 * time.Millisecond)
			}
			if p.name == "light" {
				tab.Click(`tr[data-key="target web 10.0.0.2:80"] [data-does=more]`)
				tab.Eval(`scrollTo(0, 0)`, nil)
			}
			tab.Picture(filepath.Join(*pictures, p.name+".png"), false)
			tab.Picture(filepath.Join(*pictures, p.name+"-whole.png"), true)
			tab.Eval(`document.querySelector("#list").scrollIntoView()`, nil)
			tab.Picture(filepath.Join(*pictures, p.name+"-list.png"), false)
			s.expects = "ERR_CONNECTION_REFUSED"
			s.stop()
			tab.Until("the page says so", `!document.querySelector("#gone").hidden`)
			tab.Picture(filepath.Join(*pictures, p.name+"-gone.png"), false)
			s.start()
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
		apps := make([]proxy.App, len(snapshot.Apps))
		for i, a := range snapshot.Apps {
			w := math.Max(0.2, waves[a.Name]+rand.Float64()*0.3-0.15)
			if waves[a.Name] == 0 {
				w = 1
			}
			waves[a.Name] = w
			a.Upload += int64(w * 2e5 * float64(1+i%7))
			a.Download += int64(w * 9e6 * float64(1+i%5))
			a.Active = int64(float64(a.Active)*0.9 + 0.1*w*float64(300+20*(i%9)))
			ended := map[string]uint64{}
			for cause, n := range a.Ended {
				ended[cause] = n
			}
			ended["client_closed"] += uint64(w * 60)
			a.Ended = ended
			a.Targets = append([]proxy.Target(nil), a.Targets...)
			for j := range a.Targets {
				if tg := &a.Targets[j]; tg.State == "alive" {
					tg.Connect = 0.0004 * (0.7 + 0.6*rand.Float64()) * float64(1+j)
					tg.Sessions += uint64(w * 20)
					tg.Active = int64(w * float64(20+j))
				}
			}
			apps[i] = a
		}
		snapshot.Apps = apps
		return snapshot
	}
	s.live.Store(&step)
}
