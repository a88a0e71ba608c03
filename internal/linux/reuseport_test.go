package linux

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/testkit"
)

func TestASocketThatListensCanMakeRoom(t *testing.T) {
	port := strconv.Itoa(int(testkit.Port(t)))
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var optErr error
		err := c.Control(func(fd uintptr) { optErr = SetReusePort(int(fd)) })
		return errors.Join(err, optErr)
	}}
	if _, err := lc.Listen(context.Background(), "tcp", ":"+port); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("in the way of one that was not asked to: %v", err)
	}
	if err := Control(l, SetReusePort); err != nil {
		t.Fatal(err)
	}
	all, err := lc.Listen(context.Background(), "tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	all.Close()
}
