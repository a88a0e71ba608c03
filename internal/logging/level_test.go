package logging

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A level that is set at run time goes before the configured one, which may change meanwhile, until its time is over, it is
// replaced or it is reset. The log has a line about each change, at every level.
func TestOverrideLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		var ended atomic.Int32
		override := func(level string, d time.Duration) {
			t.Helper()
			if err := log.OverrideLevel(level, d, "uid 0", func() { ended.Add(1) }); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(level, configured string, left time.Duration, times int32) {
			t.Helper()
			synctest.Wait()
			want := LevelState{Level: level, Configured: configured}
			got := log.LevelState()
			if left > 0 {
				want.Until = time.Now().Add(left)
			}
			inForce, err := parseLevel(level)
			if err != nil {
				t.Fatal(err)
			}
			if got != want || !log.Enabled(inForce) || log.Enabled(inForce+1) || ended.Load() != times {
				t.Errorf("the state is %+v, and %d have ended; want %+v and %d", got, ended.Load(), want, times)
			}
		}
		expect("info", "", 0, 0)
		override("debug", time.Minute)
		expect("debug", "info", time.Minute, 0)
		time.Sleep(time.Minute - time.Second)
		if err := log.SetLevel("error"); err != nil { // a reload
			t.Fatal(err)
		}
		expect("debug", "error", time.Second, 0)
		time.Sleep(time.Second)
		expect("error", "", 0, 1)
		override("trace", time.Minute)
		override("warning", 0)
		time.Sleep(time.Hour)
		expect("warning", "error", 0, 1)
		if !log.ResetLevel("uid 1") || log.ResetLevel("uid 1") {
			t.Error("there is one level to be reset")
		}
		expect("error", "", 0, 1)
		if log.OverrideLevel("loud", 0, "uid 0", nil) == nil {
			t.Error("there is no such level")
		}
		override("debug", time.Minute)
		if err := log.Close(); err != nil { // with a level that would end later
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		expect("error", "", 0, 1)
		want := []string{
			"log level is debug for 1m0s, set by uid 0; the configured level is info", "log level is error again, as configured",
			"log level is trace for 1m0s, set by uid 0; the configured level is error", "log level is warning, set by uid 0; the configured level is error",
			"log level is error again, as configured; reset by uid 1", "log level is debug for 1m0s, set by uid 0; the configured level is error",
		}
		lines := w.lines()
		if len(lines) != len(want) {
			t.Fatalf("%d lines:\n%s", len(lines), &w.buf)
		}
		for i, line := range lines {
			if !strings.Contains(line, `"`+want[i]+`"`) {
				t.Errorf("%s lacks %s", line, want[i])
			}
		}
	})
}
