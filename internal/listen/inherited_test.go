package listen

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
)

// Connections of an inherited socket have the keepalive of their port, not that of package net.
func TestKeepaliveOfInheritedSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again, err := Inherited{"web", l}.duplicate()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for _, want := range []linux.Keepalive{
		{Enabled: true, Idle: 77 * time.Second, Interval: 7 * time.Second, Count: 3},
		{},
	} {
		if err := linux.Control(again, Accepted(again, want)); err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := again.Accept()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var on, idle int
		err = raw.Control(func(fd uintptr) {
			on, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			idle, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
		})
		if err != nil {
			t.Fatal(err)
		}
		if (on == 1) != want.Enabled || want.Enabled && idle != int(want.Idle.Seconds()) {
			t.Errorf("SO_KEEPALIVE is %d and TCP_KEEPIDLE %d, want %+v", on, idle, want)
		}
		conn.Close()
		client.Close()
	}
}

func TestSameAddress(t *testing.T) {
	for _, c := range []struct {
		listens, asked string
		want           bool
	}{
		{"[::]:80", "80", true},
		{"0.0.0.0:80", "80", true},
		{"127.0.0.1:80", "80", false},
		{"[::]:81", "80", false},
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "127.0.0.1:80", false},
		{"0.0.0.0:80", "0.0.0.0:80", true},
		{"[::]:80", "0.0.0.0:80", false},
		{"[::1]:80", "[::1]:80", true},
	} {
		at, err := net.ResolveTCPAddr("tcp", c.listens)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Parse("test.json", []byte(`{"apps": [{"name": "a", "ports": ["`+c.asked+`"], "targets": ["h:1"]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := (Inherited{"x", fakeListener{at}}).Serves(cfg.Apps[0].Ports[0]); got != c.want {
			t.Errorf("a socket at %s serves %s: %v", c.listens, c.asked, got)
		}
	}
}

// fakeListener is a listener without a socket.
type fakeListener struct{ at net.Addr }

func (f fakeListener) Addr() net.Addr            { return f.at }
func (f fakeListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (f fakeListener) Close() error              { return nil }
