package admit

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever the rate and whenever tokens are taken: never more are given in any time than fit into it and the bucket, and
// one who takes all there are gets exactly that.
func TestBucketGivesItsRate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, rate := range []int64{1, 2, 3, 7, 10, 999, 1000, 600_000, 1_000_000, 1 << 30, 9_000_000_000} {
		var b bucket
		start := random.Int64N(1e15)
		now, given := start, int64(0)
		// What is left of a token is more than 0.9 s bring to a slower one.
		greedy := rate >= 10 && random.IntN(3) > 0
		for range 2000 {
			held := b.fill(now, rate, rate)
			if held < 0 || held > rate {
				t.Fatalf("rate %d: it holds %d", rate, held)
			}
			if held > 0 {
				n := held
				if !greedy {
					n = 1 + random.Int64N(held)
				}
				b.take(n)
				given += n
			}
			// What fits, in billionths; the product is beyond 64 bits for the largest rates only.
			if most := float64(rate) * (1 + float64(now-start)/1e9); float64(given) > most*(1+1e-12) {
				t.Fatalf("rate %d: %d given after %v, at most %f fit", rate, given, time.Duration(now-start), most)
			}
			if least := float64(rate)*(1+float64(now-start)/1e9) - 1; greedy && float64(given) < least*(1-1e-12)-1e-6 {
				t.Fatalf("rate %d: %d given after %v to one who takes all, %f were there", rate, given, time.Duration(now-start), least)
			}
			if random.IntN(3) > 0 {
				now += random.Int64N(2e9/rate + 2)
			} else {
				now += random.Int64N(9e8) // less than fills it
			}
		}
	}
}

func TestBucketIsFullAfterASecond(t *testing.T) {
	for _, rate := range []int64{1, 3, 1_000_000} {
		var b bucket
		b.take(b.fill(5, rate, rate))
		if held := b.fill(5+1e9-1, rate, rate); held != rate-1 {
			t.Errorf("rate %d: %d just before a second", rate, held)
		}
		if held := b.fill(5+1e9, rate, rate); held != rate {
			t.Errorf("rate %d: %d after a second", rate, held)
		}
		if held := b.fill(1<<62, rate, rate); held != rate {
			t.Errorf("rate %d: %d after a hundred years", rate, held)
		}
	}
}

// A clock that was read before another's turn came first gives nothing twice.
func TestBucketWithAClockThatIsBehind(t *testing.T) {
	var b bucket
	b.take(b.fill(1e9, 10, 10))
	b.take(b.fill(2e9, 10, 10))
	if held := b.fill(15e8, 10, 10); held != 0 {
		t.Errorf("%d for an earlier time", held)
	}
	if held := b.fill(21e8, 10, 10); held != 1 {
		t.Errorf("%d a tenth of a second after it was empty, want 1", held)
	}
}

// A rate that a reload makes smaller does not make anybody wait for what the old one gave.
func TestBucketWithAnotherRate(t *testing.T) {
	var b bucket
	b.take(b.fill(1e9, 1_000_000, 1_000_000))
	if held := b.fill(1e9, 2, 2); held != 0 {
		t.Errorf("%d in an empty bucket", held)
	}
	if held := b.fill(2e9, 2, 2); held != 2 {
		t.Errorf("%d a second later, want 2", held)
	}
	b.take(1)
	if held := b.fill(2e9, 100, 100); held != 99 {
		t.Errorf("%d where one was taken, want 99", held)
	}
}

func TestBucketTakesBack(t *testing.T) {
	var b bucket
	b.take(b.fill(1, 10, 10))
	b.put(4)
	if held := b.fill(1, 10, 10); held != 4 {
		t.Errorf("%d, want the 4 that were given back", held)
	}
	b.put(100)
	if held := b.fill(1, 10, 10); held != 10 {
		t.Errorf("%d, want no more than it can hold", held)
	}
}
