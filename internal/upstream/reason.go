package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// The reasons why a connect fails.
const (
	Refused     = "refused"     // nothing listens there
	Timeout     = "timeout"     // no answer
	Unreachable = "unreachable" // no route
	Reset       = "reset"       // the peer reset the connection
	Local       = "local"       // the fault is this machine's; the target may be fine
	Other       = "other"
)

// Reasons is every reason that ReasonOf can return.
var Reasons = [...]string{Refused, Timeout, Unreachable, Reset, Local, Other}

var reasonsOf = []struct {
	reason string
	errs   []error
}{
	{Refused, []error{unix.ECONNREFUSED}},
	{Unreachable, []error{unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN, unix.ENOENT, unix.ENOTDIR}},
	{Reset, []error{unix.ECONNRESET, unix.EPIPE, unix.ECONNABORTED}},
	{Timeout, []error{unix.ETIMEDOUT, context.DeadlineExceeded, os.ErrDeadlineExceeded}},
}

// ReasonOf returns the reason for which a connect failed with err.
func ReasonOf(err error) string {
	if linux.Exhausted(err) {
		return Local
	}
	for _, r := range reasonsOf {
		for _, known := range r.errs {
			if errors.Is(err, known) {
				return r.reason
			}
		}
	}
	var waited net.Error
	if errors.As(err, &waited) && waited.Timeout() {
		return Timeout
	}
	return Other
}

// NoAnswer is the error of a connect that timed out after this time.
type NoAnswer time.Duration

func (n NoAnswer) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(n)) }

// Is makes errors.Is treat it as a deadline that was exceeded.
func (n NoAnswer) Is(other error) bool { return other == os.ErrDeadlineExceeded }

func reasonIndex(reason string) int {
	for i, r := range Reasons {
		if r == reason {
			return i
		}
	}
	return len(Reasons) - 1
}
