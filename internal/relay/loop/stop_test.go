package loop

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// After Stop nothing is rung: the numbers of the bells may be those of others' descriptors by then. Nor does anybody wait
// for loops that have ended.
func TestNothingIsRungAfterStop(t *testing.T) {
	e, err := New(admit.NewWorkers(1), relay.Events{})
	if err != nil {
		t.Fatal(err)
	}
	var bells []int
	for _, l := range e.loops {
		bells = append(bells, l.inbox.bell.FD())
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	var others []int // descriptors with the numbers of the bells
	for _, fd := range bells {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
			t.Fatalf("descriptor %d is open: %v", fd, err)
		}
		counter, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if counter != fd {
			if err := unix.Dup3(counter, fd, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			unix.Close(counter)
		}
		defer unix.Close(fd)
		others = append(others, fd)
	}
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := e.Alive(ctx)
		e.Sample()
		e.End(relay.Stopped)
		e.EndTarget(&upstream.Target{}, relay.TargetDead)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("somebody waits for a loop that has ended")
	}
	for _, fd := range others {
		var count [8]byte
		if _, err := unix.Read(fd, count[:]); err != unix.EAGAIN {
			t.Errorf("descriptor %d was written to: %v (%v)", fd, count, err)
		}
	}
}
