package admit

// A bucket holds tokens: depth of them when it is full, and it fills at a rate a second. It is plain data of two words,
// so that a million sources can have one and a session can be handed to another process; the rate and the depth, which a
// reload may change, are the caller's, and so are the clock, in nanoseconds, and the lock. The zero value is full.
type bucket struct {
	missing int64 // billionths of a token, so that a rate per second is a rate per nanosecond
	at      int64 // when that was so
}

const token = 1e9

// fill brings the bucket up to now, and returns how many whole tokens it holds. depth tokens are less than 9.2e9.
func (b *bucket) fill(now, rate, depth int64) int64 {
	if passed := now - b.at; passed > 0 { // not if this caller read the clock before another had its turn
		if passed > b.missing/rate {
			b.missing = 0
		} else {
			b.missing -= passed * rate
		}
		b.at = now
	}
	b.missing = min(b.missing, depth*token)
	return depth - (b.missing+token-1)/token
}

// take takes n tokens, which fill has returned.
func (b *bucket) take(n int64) { b.missing += n * token }

// put gives back n tokens that were taken.
func (b *bucket) put(n int64) { b.missing = max(0, b.missing-n*token) }
