package proxy

import (
	"fmt"
	"testing"
)

func TestHistoryKeepsTheLast(t *testing.T) {
	var h history
	if got := h.events(); len(got) != 0 {
		t.Fatalf("at the begin: %v", got)
	}
	for n := 1; n <= 3*remembered+7; n++ {
		h.note(Event{Text: fmt.Sprint(n)})
		events := h.events()
		if want := min(n, remembered); len(events) != want {
			t.Fatalf("%d events after %d", len(events), n)
		}
		for i, e := range events {
			if want := n - len(events) + 1 + i; e.Number != uint64(want) || e.Text != fmt.Sprint(want) || e.Time.IsZero() {
				t.Fatalf("after %d, event %d is %+v", n, i, e)
			}
		}
	}
}
