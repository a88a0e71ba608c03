package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var errLocal = os.NewSyscallError("connect", unix.EADDRNOTAVAIL)

func TestReasonOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{os.NewSyscallError("connect", unix.ECONNREFUSED), Refused},
		{unix.ETIMEDOUT, Timeout},
		{NoAnswer(time.Second), Timeout},
		{fmt.Errorf("probe: %w", os.ErrDeadlineExceeded), Timeout},
		{context.DeadlineExceeded, Timeout},
		{&net.DNSError{IsTimeout: true}, Timeout},
		{unix.EHOSTUNREACH, Unreachable},
		{unix.ENETUNREACH, Unreachable},
		{unix.ENOENT, Unreachable},
		{unix.ECONNRESET, Reset},
		{unix.EMFILE, Local},
		{os.NewSyscallError("epoll_ctl", unix.ENOSPC), Local},
		{errLocal, Local},
		{unix.EAGAIN, Local},
		{unix.EACCES, Other},
		{errors.New("something"), Other},
	} {
		if got := ReasonOf(c.err); got != c.want {
			t.Errorf("%v is %q, want %q", c.err, got, c.want)
		}
	}
	for i, reason := range Reasons {
		if reasonIndex(reason) != i {
			t.Errorf("%s is counted as %s", reason, Reasons[reasonIndex(reason)])
		}
	}
	if got := NoAnswer(5 * time.Second).Error(); got != "no answer within 5s" {
		t.Error(got)
	}
}
