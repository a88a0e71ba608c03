package proxy

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// What is accepted on an inherited socket has the keepalive of its port, and not that of package net.
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
		if err := linux.Control(again, inherit(again, want)); err != nil {
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
