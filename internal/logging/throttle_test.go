package logging

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var flaps = Kind{Name: "flaps", Burst: 2, Every: 10 * time.Second, Total: 100, Keys: 1000}

// said returns the entries that were written since the last call: each its message, and the number of those left out.
func said(w *stallable) string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for line := range strings.Lines(w.buf.String()) {
		_, message, _ := strings.Cut(line, `"msg":"`)
		message, _, _ = strings.Cut(message, `"`)
		if _, n, ok := strings.Cut(line, `"left_out":`); ok {
			n, _, _ = strings.Cut(n, ",")
			message += "+" + n
		}
		all = append(all, message)
	}
	w.buf.Reset()
	return strings.Join(all, " ")
}

func TestThrottleWritesTheLastState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		expect := func(want string) {
			t.Helper()
			if got := said(&w); got != want {
				t.Errorf("written: %q, want %q", got, want)
			}
		}
		say := func(key, state string) { log.Throttled(flaps, key, Info, key+state, Fields{}) }
		say("a", "-")
		say("a", "+")
		expect("a- a+")
		for range 10 {
			say("a", "-")
			say("a", "+")
		}
		say("b", "-") // another key is not hidden
		expect("b-")
		time.Sleep(flaps.Every - time.Millisecond)
		expect("")
		time.Sleep(time.Millisecond)
		expect("a++19") // the last state, after 19 others; a+ is the message
		say("a", "-")   // in the interval that this entry has begun
		expect("a-")
		say("a", "+")
		expect("")
		time.Sleep(flaps.Every)
		expect("a+")
		time.Sleep(2 * flaps.Every)
		if n := keysOf(log); n != 0 {
			t.Errorf("%d keys are kept for nothing", n)
		}
		for range 4 {
			say("c", "-")
		}
		if err := log.Close(); err != nil { // writes what is held
			t.Fatal(err)
		}
		expect("c- c- c-+1")
	})
}

// keysOf returns the number of keys that the throttle has.
func keysOf(l *Logger) int {
	found, _ := l.throttles.Load(flaps)
	t := found.(*throttle)
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(len(t.keys), t.cooling.Len()+t.waiting.Len())
}

// Keys beyond Total take turns: the last entry of each is written, in a known time.
func TestThrottleTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		const keys = 950
		for i := range keys {
			for range 3 {
				log.Throttled(flaps, fmt.Sprint(i), Info, "not last", nil)
			}
			log.Throttled(flaps, fmt.Sprint(i), Info, fmt.Sprintf("<%d>", i), nil)
		}
		total := 0
		for range 30 {
			n := len(strings.Fields(strings.ReplaceAll(said(&w), "not last", "not-last")))
			if total += n; n > flaps.Total {
				t.Fatalf("%d entries in a second", n)
			}
			time.Sleep(time.Second)
		}
		if total < keys {
			t.Errorf("%d entries of %d keys", total, keys)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Many keys of one kind do not delay entries of another kind. Entries of a level that is not written use no memory.
func TestThrottleKindsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		for i := range 10 * flaps.Keys {
			log.Throttled(flaps, fmt.Sprint(i), Debug, "not written", nil)
		}
		if _, any := log.throttles.Load(flaps); any {
			t.Error("an entry that is not written has a throttle")
		}
		for i := range 10 * flaps.Keys {
			log.Throttled(flaps, fmt.Sprint(i), Info, "noise", nil)
		}
		if n := keysOf(log); n > flaps.Keys+1 {
			t.Errorf("%d keys are distinguished", n)
		}
		said(&w)
		other := flaps
		other.Name = "other"
		log.Throttled(other, "1", Warn, "heard", nil)
		if got := said(&w); !strings.Contains(got, "heard") {
			t.Errorf("written: %q", got)
		}
		// Of the keys beyond Kind.Keys, the last entry is written, with the number of the others.
		for range 2 * flaps.Keys / flaps.Total {
			time.Sleep(time.Second)
		}
		if got := said(&w); !strings.Contains(got, fmt.Sprintf("noise+%d", 9*flaps.Keys-1)) {
			t.Error("the number of entries left out of the others is not written")
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// While the log is blocked, the number of held entries is bounded. They are written when it goes on.
func TestThrottleWhileTheLogIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w stallable
		log := start(t, &w)
		w.gate.Lock()
		for range 100 {
			log.Throttled(flaps, "a", Info, "a", nil)
			time.Sleep(time.Second)
		}
		if n := len(log.queue); n > 2*flaps.Burst*100/10 {
			t.Errorf("%d entries wait", n)
		}
		w.gate.Unlock()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if got := said(&w); !strings.Contains(got, "a+") {
			t.Errorf("written: %q", got)
		}
	})
}
