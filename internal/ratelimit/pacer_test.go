package ratelimit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A moment of a simulated flow: when some bytes went, and how many.
type moment struct {
	at    int64
	bytes int64
}

// flow moves bytes for a simulated time, as an engine does: it takes permission for a chunk, gives back what the source did
// not have, and waits when it gets none. A wait may end up to late after its time.
func flow(p *Pacer, random *rand.Rand, begin, length int64, chunks []int, late time.Duration) []moment {
	var went []moment
	for now, i := begin, 0; now < begin+length; i++ {
		want := chunks[i%len(chunks)]
		n := p.Take(now, want)
		if n == 0 {
			now = p.Next(now) + random.Int64N(int64(late)+1)
			continue
		}
		if left := random.IntN(4); left == 0 { // the source had less
			back := random.IntN(n)
			p.Return(back)
			n -= back
		}
		went = append(went, moment{now, int64(n)})
		now += random.Int64N(1000) // moving takes a little
	}
	return went
}

// extremes returns the most and the fewest bytes that went in any second.
func extremes(went []moment, begin, end int64) (most, least int64) {
	const second = int64(time.Second)
	least = 1 << 62
	sum, first := int64(0), 0
	for _, m := range went { // the second that ends with m
		sum += m.bytes
		for went[first].at <= m.at-second {
			sum -= went[first].bytes
			first++
		}
		most = max(most, sum)
	}
	sum, last := int64(0), 0
	for i, m := range went { // the second that begins just after m
		for last < len(went) && went[last].at <= m.at+second {
			sum += went[last].bytes
			last++
		}
		sum -= m.bytes
		if m.at+second <= end && i > 0 {
			least = min(least, sum)
		}
	}
	return most, least
}

// In any second at most 5 % more than the rate flows, and at least 95 % of it if there is always something to move, for odd
// chunks and for engines that wake late.
func TestPacerIsSmooth(t *testing.T) {
	for _, rate := range []int64{1, 2, 19, 39, 40, 59, 100, 333, 999, 1 << 10, 1500, 10_000, 64 << 10, 1 << 20, 12_345_678, 100 << 20, 1 << 30} {
		for _, chunks := range [][]int{{1}, {1448}, {16 << 10}, {64 << 10}, {1 << 20}, {1, 1 << 20, 7, 65537, 333}} {
			if chunks[0] == 1 && len(chunks) == 1 && rate > 1<<20 {
				continue // a chunk takes longer to move than a byte takes at this rate
			}
			for _, late := range []time.Duration{0, 10 * time.Millisecond, 25 * time.Millisecond} {
				t.Run(fmt.Sprintf("%d_%v_%v", rate, chunks, late), func(t *testing.T) {
					random := rand.New(rand.NewPCG(1, uint64(rate)))
					length := 5 * int64(time.Second)
					if rate/int64(chunks[0]) > 50_000 { // many chunks
						length = 5 * int64(time.Second) / 4
					} else if rate < 1000 {
						length = 60 * int64(time.Second)
					}
					p := &Pacer{Rate: rate}
					begin := random.Int64N(1e15)
					went := flow(p, random, begin, length, chunks, late)
					most, least := extremes(went, begin, begin+length)
					if most > rate*105/100+2 {
						t.Errorf("%d bytes in a second: %.1f %% of the rate", most, 100*float64(most)/float64(rate))
					}
					if least < rate*95/100-1 {
						t.Errorf("only %d bytes in a second: %.1f %% of the rate", least, 100*float64(least)/float64(rate))
					}
				})
			}
		}
	}
}

// After a pause of any length, a twentieth of a second's worth flows at once, however much is wanted.
func TestPacerAfterAPause(t *testing.T) {
	for _, rate := range []int64{1 << 10, 1 << 20, 1 << 30, 1e11} {
		p := &Pacer{Rate: rate}
		now := int64(1)
		for _, pause := range []time.Duration{0, time.Second, time.Hour, 10000 * time.Hour} {
			now += int64(pause)
			went := int64(0)
			for {
				n := p.Take(now, math.MaxInt)
				if n == 0 {
					break
				}
				went += int64(n)
			}
			if went != rate/20 {
				t.Errorf("rate %d, after %v: %d bytes at once, want %d", rate, pause, went, rate/20)
			}
		}
	}
}

// Take permits nothing before Next, and something at Next, however much is wanted.
func TestPacerNextIsTrue(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		rate := int64(1) << random.IntN(37)
		rate += random.Int64N(rate)
		p := &Pacer{Rate: min(rate, 1e11)}
		now := random.Int64N(1e15)
		for range 10 {
			want := 1 + random.IntN(1<<(1+random.IntN(22)))
			before := *p
			if p.Take(now, want) > 0 {
				continue
			}
			next := p.Next(now)
			if next <= now {
				t.Fatalf("rate %d: nothing of %d at %d, and again at %d", rate, want, now, next)
			}
			early := before
			if n := early.Take(next-1, 1<<40); n > 0 {
				t.Fatalf("rate %d: %d permitted before Next", rate, n)
			}
			now = next
			if p.Take(now, want) == 0 {
				t.Fatalf("rate %d: nothing of %d permitted at Next", rate, want)
			}
		}
	}
}

func TestPacerWithoutLimit(t *testing.T) {
	var p Pacer
	if n := p.Take(5, 1<<40); n != 1<<40 {
		t.Errorf("%d of what is wanted", n)
	}
	p.Return(10)
	if next := p.Next(5); next != 5 {
		t.Errorf("next is %d at 5", next)
	}
}

// A short message of a quiet session does not wait.
func TestPacerLetsTheSmallThrough(t *testing.T) {
	p := &Pacer{Rate: 1 << 20}
	for now := int64(1e9); now < 2e9; now += 1e6 {
		if n := p.Take(now, 100); n != 100 {
			t.Fatalf("%d of 100 bytes at %d", n, now)
		}
	}
}

func BenchmarkPacer(b *testing.B) {
	p := &Pacer{Rate: 1 << 30}
	now := int64(0)
	for b.Loop() {
		now += 1000
		p.Take(now, 1000)
	}
}

// A Pacer that continues from the state of another permits what that would permit.
func TestPacerContinues(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	one := Pacer{Rate: 12_345}
	now := int64(1e15)
	for range 1000 {
		other := Pacer{Rate: one.Rate}
		other.Restore(one.State())
		want := 1 + random.IntN(2000)
		if a, b := one.Take(now, want), other.Take(now, want); a != b {
			t.Fatalf("%d and %d bytes are permitted", a, b)
		}
		if one != other {
			t.Fatalf("%+v, %+v", one, other)
		}
		now += random.Int64N(int64(50 * time.Millisecond))
	}
}
