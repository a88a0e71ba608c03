package loop

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// clockBase is the moment at which CLOCK_MONOTONIC was zero (clock_gettime(2)), with the monotonic reading of package time: the
// time since then is that clock. It is the clock of every engine, so that times of a session mean the same to all of them. Of
// a few readings it takes the one that took least, which is how far the clocks of two engines may be apart.
func clockBase() time.Time {
	base, least := time.Now(), int64(math.MaxInt64)
	for range 8 {
		var at unix.Timespec
		before := time.Now()
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
			panic(err) // clock_gettime(2): only for a clock that there is not
		}
		if took := int64(time.Since(before)); took < least {
			least, base = took, before.Add(time.Duration(took/2-at.Nano()))
		}
	}
	return base
}
