package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// After Stop no loop is woken: the numbers of the wakers may be those of others' descriptors by then. Nor does anybody
// wait for loops that have ended.
func TestNobodyIsWokenAfterStop(t *testing.T) {
	before := testkit.OpenDescriptors(t, "[eventfd]")
	e, err := New(admit.NewWorkers(1), relay.Events{})
	if err != nil {
		t.Fatal(err)
	}
	var wakers []int
	for _, d := range testkit.OpenDescriptors(t, "[eventfd]") {
		if !slices.Contains(before, d) {
			wakers = append(wakers, d.Number)
		}
	}
	if len(wakers) != len(e.loops) {
		t.Fatalf("%d loops have %d wakers", len(e.loops), len(wakers))
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	var others []int // descriptors with the numbers of the wakers
	for _, fd := range wakers {
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
		defer cancel()
		err := e.Alive(ctx)
		e.Sample()
		e.End(relay.Stopped)
		e.EndTarget(&upstream.Target{}, relay.TargetDead)
		p := relay.NewPort("port", l)
		if failed := e.Open(p); !errors.Is(failed, errStopped) {
			err = errors.Join(err, fmt.Errorf("open: %w", failed))
		}
		if conn, dialed := net.Dial("tcp", l.Addr().String()); dialed == nil {
			conn.Close()
			err = errors.Join(err, errors.New("the port is still open"))
		}
		done <- err
	}()
	if err := testkit.Receive(t, "nobody waits for a loop that has ended", done); err != nil {
		t.Error(err)
	}
	for _, fd := range others {
		var count [8]byte
		if _, err := unix.Read(fd, count[:]); err != unix.EAGAIN {
			t.Errorf("descriptor %d was written to: %v (%v)", fd, count, err)
		}
	}
}
