package probe

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/upstream"
)

// BenchmarkTenThousand checks 10,000 endpoints, half of which never answer, again and again. An operation is a check.
// Beside its time and its allocations it says how long the first round of those that answer took, and what part of a
// processor the prober needs.
func BenchmarkTenThousand(b *testing.B) {
	const half = 5000
	live := serveAt(b, "tcp", "0.0.0.0:0", hang)
	hole := netip.MustParseAddrPort(blackhole(b, "0.0.0.0"))
	var addresses []string
	for i := range half {
		for n, port := range []uint16{netip.MustParseAddrPort(live.address).Port(), hole.Port()} {
			addresses = append(addresses, fmt.Sprintf("127.%d.%d.%d:%d", 10+n, i/250, 1+i%250, port))
		}
	}
	targets := set(b, 1, 1000000, addresses...)
	checking := Config{Probe: config.Probe{When: config.ProbeAlways, Interval: 5 * time.Second, Timeout: time.Second, Rise: 1, Fall: 1000000}}
	checks := func() (passed, all int64) {
		for _, t := range targets.All() {
			c := t.Condition()
			passed += min(c.ProbesPassed, 1)
			all += c.ProbesPassed + c.ProbesFailed
		}
		return passed, all
	}
	r := newRig(b)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used, begun := processor(b), time.Now()
	r.Monitor("app", targets, checking)
	first := time.Duration(0)
	for all := int64(0); all < int64(b.N) || first == 0; time.Sleep(20 * time.Millisecond) {
		var passed int64
		if passed, all = checks(); passed == half && first == 0 {
			first = time.Since(begun)
		}
	}
	took := time.Since(begun)
	runtime.ReadMemStats(&after)
	_, all := checks()
	b.ReportMetric(first.Seconds(), "first-round-s")
	b.ReportMetric(float64(all)/took.Seconds(), "checks/s")
	b.ReportMetric(float64(processor(b)-used)/float64(took)*100, "%CPU")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(all), "mallocs/check")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(all), "B/check")
	r.ask(func() { b.ReportMetric(float64(r.inFlight.used), "in-flight") })
}

// processor is the processor time that this process has used.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkCheck is one check after the other, of a target that answers.
func BenchmarkCheck(b *testing.B) {
	talker := serve(b, "unix", say("ready"))
	for name, checking := range map[string]Config{"connect": always(), "expect": greeting(config.ProbeAlways)} {
		b.Run(name, func(b *testing.B) {
			checking := checking
			checking.Interval = time.Hour
			one := set(b, 1, 1, talker.address)
			r := newRig(b)
			n, done := 0, make(chan struct{})
			r.ask(func() {
				r.report = func(_ string, t *upstream.Target, _ upstream.Change, _ error) {
					if n++; n == b.N {
						close(done)
						return
					}
					t.Failed(false, errTest)
					r.CheckNow(t)
				}
			})
			one.All()[0].Failed(false, errTest) // so that each check that passes is reported
			b.ReportAllocs()
			b.ResetTimer()
			r.Monitor("app", one, checking)
			<-done
		})
	}
}
