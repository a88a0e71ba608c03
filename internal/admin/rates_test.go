package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// A bucket lets its burst through at once and its rate from then on. A large answer makes the next requests wait for all of
// its tokens, also when they are more than the burst; a pause never saves up more than the burst.
func TestCharges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newBucket(limit{10, 5})
		buckets := charges{newBucket(limit{1000, 1000}), bucket}
		let := func(want int) {
			t.Helper()
			got := 0
			for ; got <= want && buckets.open(); got++ {
				buckets.charge(1)
			}
			if got != want {
				t.Fatalf("%d requests let through, want %d", got, want)
			}
		}
		let(5)
		time.Sleep(100*time.Millisecond - time.Microsecond)
		let(0)
		time.Sleep(time.Microsecond)
		let(1)
		buckets.charge(21)
		time.Sleep(2200*time.Millisecond - time.Microsecond)
		let(0)
		time.Sleep(time.Microsecond)
		let(1)
		time.Sleep(time.Hour)
		let(5)
	})
}

// The page is larger than a chunk, and costs as much as any other answer of its size.
func TestPageIsCharged(t *testing.T) {
	bucket := rate.NewLimiter(0, 10)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	showPage(w, r.WithContext(context.WithValue(t.Context(), chargesKey{}, charges{bucket})))
	if want := 10 - w.Body.Len()/chunk; w.Body.Len() < chunk || int(bucket.Tokens()) != want {
		t.Errorf("%v tokens are left after %d bytes, want %d", bucket.Tokens(), w.Body.Len(), want)
	}
}
