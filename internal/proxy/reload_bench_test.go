package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
)

// A reload of 1,000 apps with 10,000 targets, in three parts: parsing, what can fail, and the commit. In "targets"
// every app gets another target; in "ports" every tenth app another port; in "nothing" the configuration stays the
// same.
func BenchmarkReload(b *testing.B) {
	ip := ownAddress()
	text := func(i int, what string) string {
		var t strings.Builder
		t.WriteString(`{"max_workers": 1000, "apps": [`)
		for app := range 1000 {
			port, moved := 20000+app, 0
			if what == "ports" && app%10 == 0 {
				port += 2000 * (i % 2)
			}
			if what == "targets" {
				moved = i % 2
			}
			fmt.Fprintf(&t, `{"name": "app-%d", "ports": ["%s:%d"], "targets": [`, app, ip, port)
			for target := range 10 {
				fmt.Fprintf(&t, `"10.%d.%d.%d:80",`, app/250, app%250, target+moved)
			}
			t.WriteString("]},")
		}
		t.WriteString("]}")
		return t.String()
	}
	for _, what := range []string{"nothing", "targets", "ports"} {
		b.Run(what, func(b *testing.B) {
			parse := func(i int) *config.Config {
				cfg, err := config.Parse("bench.json", []byte(text(i, what)))
				if err != nil {
					b.Fatal(err)
				}
				return cfg
			}
			s, err := New(b.Context(), parse(0), logging.Discard(), nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Start(); err != nil {
				b.Fatal(err)
			}
			defer func() {
				now, cancel := context.WithCancel(context.Background())
				cancel()
				if err := s.Stop(now); err != nil {
					b.Error(err)
				}
			}()
			var read, prepared, committed time.Duration
			i := 0
			for b.Loop() {
				i++
				begun := time.Now()
				cfg := parse(i)
				read += time.Since(begun)
				begun = time.Now()
				p, err := s.prepare(b.Context(), cfg)
				if err != nil {
					b.Fatal(err)
				}
				if err := p.open(); err != nil {
					b.Fatal(err)
				}
				prepared += time.Since(begun)
				begun = time.Now()
				if err := p.commit(); err != nil {
					b.Fatal(err)
				}
				committed += time.Since(begun)
			}
			for unit, d := range map[string]time.Duration{"ms-read/op": read, "ms-prepare/op": prepared, "ms-commit/op": committed} {
				b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N), unit)
			}
		})
	}
}
