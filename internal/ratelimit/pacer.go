package ratelimit

// Pacer limits the bytes that flow one way in one session. It is plain data without pointers, for one goroutine at a time.
//
// After a pause of any length, a twentieth of a second's worth may flow at once, and at least two bytes. So in no second do
// more than 1.05 times Rate and two bytes flow. At least Rate bytes flow if there is always something to move and the
// caller is at most a fortieth of a second late.
//
// Take permits at least a fortieth of a second's worth, or 256 KiB if that is less, unless fewer bytes are wanted. So a
// busy flow wakes its engine at most 80 times a second, not once for each byte.
type Pacer struct {
	Rate int64 // in bytes a second, up to 1e11; 0: no limit

	bucket Bucket
}

const maxPortion = 256 << 10

// Take returns how many of the wanted bytes may flow now; 0 until Next. The caller gives back what it does not move, by
// Return.
func (p *Pacer) Take(now int64, want int) int {
	if p.Rate <= 0 {
		return want
	}
	held := p.bucket.Refill(now, p.Rate, p.burst())
	if held < min(int64(want), p.portion()) {
		return 0
	}
	n := min(int64(want), held)
	p.bucket.Take(n)
	return int(n)
}

// Return gives back n bytes that Take permitted.
func (p *Pacer) Return(n int) {
	if p.Rate > 0 {
		p.bucket.Return(int64(n))
	}
}

// Next returns the earliest time at which Take permits something, however much is wanted: now, or later.
func (p *Pacer) Next(now int64) int64 {
	if p.Rate <= 0 {
		return now
	}
	p.bucket.Refill(now, p.Rate, p.burst())
	lacking := p.bucket.missing - (p.burst()-p.portion())*token
	return now + max(0, (lacking+p.Rate-1)/p.Rate)
}

// burst is how many bytes may flow at once. At low rates it is a portion and what is gained while a late caller wakes.
func (p *Pacer) burst() int64 {
	if p.Rate < 1000 {
		return p.portion() + (p.Rate+39)/40
	}
	return p.Rate / 20
}

// portion is the least that Take permits of a large number.
func (p *Pacer) portion() int64 { return max(1, min(p.Rate/40, maxPortion)) }

// PacerState is what a Pacer remembers. The zero value is that of a Pacer after a long pause.
type PacerState struct {
	Missing int64 // what has flowed and was not yet gained again, in billionths of a byte
	At      int64 // the time that Missing is for
}

// State returns what the Pacer remembers, for Restore of another one with the same rate and the same clock.
func (p *Pacer) State() PacerState { return PacerState{p.bucket.missing, p.bucket.at} }

// Restore makes the Pacer continue from a state.
func (p *Pacer) Restore(s PacerState) { p.bucket = Bucket{missing: max(0, s.Missing), at: s.At} }
