package admin

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// large is a proxy of that many apps, each with as many targets, behind those that are given.
func large(r *harness.Rig, apps, targets int, first ...harness.App) *seen {
	config := harness.Config{MaxWorkers: 100, Apps: first}
	for i := range apps {
		a := harness.App{Name: fmt.Sprintf("app-%d", i)}
		for j := range targets {
			a.Targets = append(a.Targets, fmt.Sprintf("127.1.%d.%d:%d", i/250, i%250+1, 7000+j))
		}
		config.Apps = append(config.Apps, a)
	}
	return see(r, config)
}

// A proxy of 1,000 apps with 10 targets each can be seen as well, and many who look at once see one picture. How long
// it takes is written down and not judged.
func TestLarge(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		s := large(r, 1000, 10)
		for i := range 3 {
			begun := time.Now()
			a, err := request("tcp", s.tcp, http.MethodGet, "/metrics")
			if err != nil || a.code != http.StatusOK {
				t.Fatalf("scrape: code %d, %v", a.code, err)
			}
			t.Logf("a scrape took %v, with reading it", time.Since(begun))
			if i == 0 {
				if _, err := parse(a.body); err != nil {
					t.Error(err)
				}
			}
			up := strings.Count(a.body, "\ntcp_proxy_target_up{")
			if up != 10_000 {
				t.Errorf("%d targets are scraped", up)
			}
		}
		got := s.status()
		if len(got.Apps) != 1000 || len(got.Apps[999].Targets) != 10 {
			t.Errorf("%d apps", len(got.Apps))
		}
		if result := harness.Run(t, "status", "--socket", s.socket); strings.Count(result.Stdout, "untested") != 10_000 {
			t.Errorf("the status has %d untested targets", strings.Count(result.Stdout, "untested"))
		}
		if a := s.ask(http.MethodPost, "/api/v1/apps/app-999/targets/127.1.3.250:7009/drain"); a.code != http.StatusNoContent {
			t.Errorf("drain: %d %s", a.code, a.body)
		}
		if state := s.status().Apps[999].Targets[9].State; state != "draining" {
			t.Errorf("the last target is %s", state)
		}
	})
}

// BenchmarkScrape is what a scrape of a large proxy takes, from the request to the last byte, and of the processor.
// Between two scrapes the picture of before is outdated by an action.
func BenchmarkScrape(b *testing.B) {
	for _, engine := range harness.Engines {
		b.Run(engine, func(b *testing.B) {
			r := harness.New(b, engine)
			s := large(r, 1000, 10)
			before := s.CPU()
			defer func() { b.ReportMetric(float64((s.CPU()-before).Milliseconds())/float64(b.N), "cpu-ms/op") }()
			for b.Loop() {
				b.StopTimer()
				s.ask(http.MethodPost, "/api/v1/undrain")
				b.StartTimer()
				a, err := request("tcp", s.tcp, http.MethodGet, "/metrics")
				if err != nil || a.code != http.StatusOK {
					b.Fatal(a.code, err)
				}
			}
		})
	}
}

// BenchmarkLoadBesideScrapes is how long a message and its answer take, in the median and for the slowest hundredth and
// thousandth, with nobody looking at a large proxy and with a scrape of it every five seconds, compressed, as Prometheus asks.
func BenchmarkLoadBesideScrapes(b *testing.B) {
	for _, engine := range harness.Engines {
		for _, scraped := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/scraped=%v", engine, scraped), func(b *testing.B) {
				r := harness.New(b, engine)
				s := large(r, 999, 10, harness.App{Name: "load", Targets: harness.To(r.Echo())})
				stop := make(chan struct{})
				var looking sync.WaitGroup
				if scraped {
					looking.Go(func() {
						tick := time.NewTicker(5 * time.Second)
						defer tick.Stop()
						for {
							select {
							case <-stop:
								return
							case <-tick.C:
								if a, err := request("tcp", s.tcp, http.MethodGet, "/metrics"); err != nil || a.code != http.StatusOK {
									b.Error(a.code, err)
								}
							}
						}
					})
				}
				var took []time.Duration
				c := r.Dial(s.AddressOf(0))
				c.SetDeadline(time.Time{})
				message, answer := make([]byte, 64), make([]byte, 64)
				for b.Loop() {
					begun := time.Now()
					if _, err := c.Write(message); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(c, answer); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(begun))
				}
				close(stop)
				looking.Wait()
				slices.Sort(took)
				for name, share := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99, "p99.9-µs": 0.999} {
					b.ReportMetric(float64(took[int(share*float64(len(took)-1))].Nanoseconds())/1000, name)
				}
			})
		}
	}
}
