package admit

// Pace is how fast bytes may flow one way in one session. It is plain data without pointers, for one goroutine at a time.
//
// What may go at once, after any pause, is a twentieth of a second's worth, and two bytes at any rate; so in no second do
// more bytes go than 1.05 times the rate and two, nor less than the rate if there are always some to move and the caller
// is no later than a fortieth of a second. Permission is given in portions of at least a fortieth of a second's worth, or
// 256 KiB if that is less: a flow costs its engine no more than 80 turns a second, not one for each byte.
type Pace struct {
	Rate int64 // bytes a second, up to 1e11; 0 is no limit

	bucket bucket
}

const largestPortion = 256 << 10

// Take returns how many of the bytes that want to go may go now. 0 is none before Next. What then does not go is to be
// given back with Return.
func (p *Pace) Take(now int64, want int) int {
	if p.Rate <= 0 {
		return want
	}
	held := p.bucket.fill(now, p.Rate, p.depth())
	if held < min(int64(want), p.portion()) {
		return 0
	}
	n := min(int64(want), held)
	p.bucket.take(n)
	return int(n)
}

// Return gives back n bytes of what Take has returned.
func (p *Pace) Return(n int) {
	if p.Rate > 0 {
		p.bucket.put(int64(n))
	}
}

// Next returns from when on Take gives something, however much is wanted: now, or a later time on the same clock.
func (p *Pace) Next(now int64) int64 {
	if p.Rate <= 0 {
		return now
	}
	p.bucket.fill(now, p.Rate, p.depth())
	lacking := p.bucket.missing - (p.depth()-p.portion())*token
	return now + max(0, (lacking+p.Rate-1)/p.Rate)
}

// depth is what may go at once. Where bytes are few it leaves room, beside a portion, for those of a caller that is late.
func (p *Pace) depth() int64 {
	if p.Rate < 1000 {
		return p.portion() + (p.Rate+39)/40
	}
	return p.Rate / 20
}

func (p *Pace) portion() int64 { return max(1, min(p.Rate/40, largestPortion)) }
