package proxy

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHistoryKeepsTheLastEvents(t *testing.T) {
	var h history
	if got := h.read(); len(got) != 0 {
		t.Fatalf("at the begin: %v", got)
	}
	for n := 1; n <= 3*maxEvents+7; n++ {
		h.note(Event{Text: fmt.Sprint(n)})
		events := h.read()
		if want := min(n, maxEvents); len(events) != want {
			t.Fatalf("%d events after %d", len(events), n)
		}
		for i, e := range events {
			if want := n - len(events) + 1 + i; e.Number != uint64(want) || e.Text != fmt.Sprint(want) || e.Time.IsZero() {
				t.Fatalf("after %d, event %d is %+v", n, i, e)
			}
		}
	}
}

// A frequent event only displaces events like itself: no other kind, and no other app or target.
func TestHistoryIsFair(t *testing.T) {
	var h history
	rare := []Event{
		{Kind: EventStarted},
		{Kind: EventReloadRefused},
		{Kind: EventTargetDead, App: "quiet", Target: "10.0.0.1:80"},
		{Kind: EventTargetDead, App: "noisy", Target: "10.0.0.1:80"},
		{Kind: EventAcceptFailing, App: "noisy", Port: "5001"},
	}
	for _, e := range rare {
		h.note(e)
	}
	const many = 20 * maxEvents
	for i := range many { // one target flaps, and many others of the same app die
		flapping := Event{Kind: EventTargetDead, App: "noisy", Target: "10.0.0.2:80"}
		if i%2 == 1 {
			flapping.Kind = EventTargetBack
		}
		h.note(flapping)
	}
	for i := range maxEvents / 3 {
		h.note(Event{Kind: EventTargetDead, App: "noisy", Target: fmt.Sprintf("10.1.0.%d:80", i)})
	}
	events := h.read()
	if len(events) != maxEvents {
		t.Errorf("%d events", len(events))
	}
	for i, e := range rare {
		if got := events[i]; got.Kind != e.Kind || got.App != e.App || got.Target != e.Target {
			t.Errorf("the first events are %+v", events[:len(rare)])
			break
		}
	}
	last := uint64(0)
	for _, e := range events {
		if e.Number <= last {
			t.Fatalf("number %d after %d", e.Number, last)
		}
		last = e.Number
	}
	if want := uint64(len(rare) + many + maxEvents/3); last != want {
		t.Errorf("the last has number %d, want %d", last, want)
	}
	if len(h.tallies) > 3*maxEvents {
		t.Errorf("%d shares are counted", len(h.tallies))
	}
}

// Refusals of one app for one reason are one event per interval. The text of an event is one line of bounded length.
func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h history
		for range 2 {
			for i := range 3 * maxEvents {
				h.note(Event{Kind: EventRefusals, App: "a", Reason: []string{"rate", "source_limit"}[i%2]})
			}
			time.Sleep(repeatInterval)
		}
		if got := h.read(); len(got) != 4 {
			t.Errorf("%d events: %+v", len(got), got)
		}
		h.note(Event{Kind: EventNameFailing, Target: "web", Reason: strings.Repeat("no\x1b\n", 1<<16)})
		got := h.read()[4].Reason
		if len(got) > 10*maxText || strings.ContainsAny(got, "\x1b\n") {
			t.Errorf("%d bytes: %.40q", len(got), got)
		}
	})
}
