package peers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tcp-proxy/internal/testkit"
	"tcp-proxy/tests/harness"
)

// Settle waits until every session has its record, and until the metrics at that admin address count what the records
// say. It fails the test with everything that is wrong, and with the stacks of a proxy in which something hangs.
func Settle(t testing.TB, l *Ledger, p *harness.Proxy, admin string) {
	t.Helper()
	testkit.Within(testkit.Timeout, func() bool { // what is missing then is among the errors
		n, _ := l.Errors()
		return n > 0 || l.Unmet() == 0
	})
	testkit.Within(testkit.Timeout/12, func() bool { return l.Unmet() == 0 }) // or what is on its way would be wrong, too
	totals := l.Settle()
	if n, texts := l.Errors(); n > 0 {
		hangs := false
		for _, text := range texts {
			t.Error(text)
			hangs = hangs || strings.Contains(text, "i/o timeout")
		}
		if hangs {
			t.Logf("the proxy does not answer; it is at:\n%s", p.Stacks())
		}
		t.Fatalf("%d things are wrong", n)
	}
	want := l.series(totals)
	last := ""
	if !testkit.Within(testkit.Timeout/4, func() bool {
		got, err := harness.Metrics(admin)
		if err != nil {
			t.Fatal(err)
		}
		last = differences(got, want)
		return last == ""
	}) {
		t.Fatalf("the metrics do not agree with the records:%s", last)
	}
}

func differences(got, want map[string]float64) (text string) {
	for _, series := range slices.Sorted(maps.Keys(want)) {
		if got[series] != want[series] {
			text += fmt.Sprintf("\n%s is %v, want %v", series, got[series], want[series])
		}
	}
	return text
}

// series are the expected metrics after all sessions have ended. The causes of records that the log left out are unknown;
// then only the number of all sessions is compared.
func (l *Ledger) series(totals map[string]Total) map[string]float64 {
	want := map[string]float64{"tcp_proxy_workers_busy": 0}
	for app, total := range totals {
		want[fmt.Sprintf("tcp_proxy_sessions_active{app=%q}", app)] = 0
		want[fmt.Sprintf("tcp_proxy_limited_sources{app=%q}", app)] = 0
		if l.leftOut > 0 {
			continue
		}
		for cause, n := range total.Causes {
			want[fmt.Sprintf("tcp_proxy_sessions_total{app=%q,cause=%q}", app, cause)] = float64(n)
		}
		want[fmt.Sprintf("tcp_proxy_bytes_total{app=%q,direction=%q}", app, "upload")] = float64(total.Up)
		want[fmt.Sprintf("tcp_proxy_bytes_total{app=%q,direction=%q}", app, "download")] = float64(total.Down)
	}
	return want
}
