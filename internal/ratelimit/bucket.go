// Package ratelimit limits rates exactly, in 16 bytes a limit and without allocating: Bucket counts the clients that an app
// admits, Pacer the bytes of a session. Where size and exactness do not matter, as in admin, golang.org/x/time/rate is used;
// its Limiter takes 80 bytes, has a lock of its own, and computes in floating point.
package ratelimit

// Bucket is a token bucket. It gains rate tokens a second, up to burst. The caller passes both to each call, since a reload
// may change them, and the time in nanoseconds on any clock that does not go back; the caller also does the locking. Rate and
// burst are at least 1, and burst is less than 9.2e9.
//
// A Bucket is plain data without pointers: a million of them cost the garbage collector nothing. The zero value is full.
type Bucket struct {
	missing int64 // until it is full, in billionths of a token: what a rate per second gains in a nanosecond
	at      int64 // the time that missing is for
}

const token = 1_000_000_000 // in the unit of missing

// Refill adds the tokens that were gained until now, and returns how many whole tokens the bucket holds.
func (b *Bucket) Refill(now, rate, burst int64) int64 {
	if passed := now - b.at; passed > 0 { // otherwise another caller read the clock later and came first
		if passed > b.missing/rate { // so that the product below does not overflow
			b.missing = 0
		} else {
			b.missing -= passed * rate
		}
		b.at = now
	}
	b.missing = min(b.missing, burst*token)
	return burst - (b.missing+token-1)/token
}

// Take takes n tokens. Refill has reported at least that many.
func (b *Bucket) Take(n int64) { b.missing += n * token }

// Return gives back n tokens that were taken.
func (b *Bucket) Return(n int64) { b.missing = max(0, b.missing-n*token) }

// Refilled is the time of the last call of Refill; 0 if there was none.
func (b *Bucket) Refilled() int64 { return b.at }
