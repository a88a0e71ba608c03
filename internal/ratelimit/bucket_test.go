package ratelimit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// A bucket never gives more than its burst and what it gained, and gives exactly that to a caller who takes all of it.
func TestBucketGivesItsRate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, rate := range []int64{1, 2, 3, 7, 10, 999, 1000, 600_000, 1_000_000, 1 << 30, 9_000_000_000} {
		var b Bucket
		start := random.Int64N(1e15)
		now, given := start, int64(0)
		// A bucket that gains less than 10 tokens a second may gain none in a pause of this test.
		greedy := rate >= 10 && random.IntN(3) > 0
		for range 2000 {
			held := b.Refill(now, rate, rate)
			if held < 0 || held > rate {
				t.Fatalf("rate %d: it holds %d", rate, held)
			}
			if held > 0 {
				n := held
				if !greedy {
					n = 1 + random.Int64N(held)
				}
				b.Take(n)
				given += n
			}
			if most := float64(rate) * (1 + float64(now-start)/1e9); float64(given) > most*(1+1e-12) {
				t.Fatalf("rate %d: %d given after %v, at most %f were gained", rate, given, time.Duration(now-start), most)
			}
			if least := float64(rate)*(1+float64(now-start)/1e9) - 1; greedy && float64(given) < least*(1-1e-12)-1e-6 {
				t.Fatalf("rate %d: %d given after %v to a caller who takes all of %f", rate, given, time.Duration(now-start), least)
			}
			if random.IntN(3) > 0 {
				now += random.Int64N(2e9/rate + 2)
			} else {
				now += random.Int64N(9e8) // less than it takes to fill it
			}
		}
	}
}

func TestBucketIsFullAfterASecond(t *testing.T) {
	for _, rate := range []int64{1, 3, 1_000_000} {
		var b Bucket
		b.Take(b.Refill(5, rate, rate))
		if held := b.Refill(5+1e9-1, rate, rate); held != rate-1 {
			t.Errorf("rate %d: %d just before a second", rate, held)
		}
		if held := b.Refill(5+1e9, rate, rate); held != rate {
			t.Errorf("rate %d: %d after a second", rate, held)
		}
		if held := b.Refill(1<<62, rate, rate); held != rate {
			t.Errorf("rate %d: %d after a hundred years", rate, held)
		}
	}
}

// A caller that read the clock before another one, but comes later, gains nothing twice.
func TestBucketWithAClockThatIsBehind(t *testing.T) {
	var b Bucket
	b.Take(b.Refill(1e9, 10, 10))
	b.Take(b.Refill(2e9, 10, 10))
	if held := b.Refill(15e8, 10, 10); held != 0 {
		t.Errorf("%d for an earlier time", held)
	}
	if held := b.Refill(21e8, 10, 10); held != 1 {
		t.Errorf("%d a tenth of a second after it was empty, want 1", held)
	}
}

// A bucket that a reload makes smaller is full after a second, whatever was taken at the rate before.
func TestBucketWithAnotherRate(t *testing.T) {
	var b Bucket
	b.Take(b.Refill(1e9, 1_000_000, 1_000_000))
	if held := b.Refill(1e9, 2, 2); held != 0 {
		t.Errorf("%d in an empty bucket", held)
	}
	if held := b.Refill(2e9, 2, 2); held != 2 {
		t.Errorf("%d a second later, want 2", held)
	}
	b.Take(1)
	if held := b.Refill(2e9, 100, 100); held != 99 {
		t.Errorf("%d where one was taken, want 99", held)
	}
}

func TestBucketReturn(t *testing.T) {
	var b Bucket
	b.Take(b.Refill(1, 10, 10))
	b.Return(4)
	if held := b.Refill(1, 10, 10); held != 4 {
		t.Errorf("%d, want the 4 that were given back", held)
	}
	b.Return(100)
	if held := b.Refill(1, 10, 10); held != 10 {
		t.Errorf("%d, want no more than it can hold", held)
	}
}

// The largest burst, emptied, at the latest time, and then a rate of one: nothing overflows.
func TestBucketDoesNotOverflow(t *testing.T) {
	const most = 9_199_999_999
	var b Bucket
	b.Take(b.Refill(0, most, most))
	if held := b.Refill(math.MaxInt64, 1, most); held != most {
		t.Errorf("%d of %d after 292 years at one a second", held, most)
	}
	b.Take(most)
	if held := b.Refill(math.MaxInt64, 1, 1); held != 0 {
		t.Errorf("%d in an empty bucket that was made smaller", held)
	}
	b = Bucket{}
	b.Take(b.Refill(1, most, most))
	if held := b.Refill(2, most, most); held != most/token {
		t.Errorf("%d gained in a nanosecond, want %d", held, most/token)
	}
}

// A gate has a million buckets, and a session two pacers.
func TestBucketIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Bucket{}); size != 16 {
		t.Errorf("a bucket takes %d bytes", size)
	}
	var b Bucket
	p := Pacer{Rate: 1 << 20}
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += 1000
		if b.Refill(now, 1000, 1000) > 0 {
			b.Take(1)
		}
		p.Return(p.Take(now, 100))
		p.Next(now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
