package linux

import (
	"fmt"
	"math"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// States of the kernel's include/net/tcp_states.h.
const (
	tcpTimeWait  = 6
	tcpClose     = 7
	tcpCloseWait = 8
	tcpLastAck   = 9
	tcpClosing   = 11
)

// Quiet returns how long ago the TCP connection last moved data, in either direction, by the kernel's own account
// (tcpi_last_data_recv and tcpi_last_data_sent of TCP_INFO). Sending again what the peer does not acknowledge is not
// moving. A connection that has never moved data is quiet since it was made, or for longer: callers bound it by the
// age of the session. The resolution is the kernel's tick. A socket that is not TCP, or closed, is an error.
func Quiet(conn syscall.RawConn) (time.Duration, error) {
	info, err := tcpInfo(conn)
	if err != nil {
		return 0, err
	}
	return quietOf(info), nil
}

// QuietFD is Quiet for a bare descriptor.
func QuietFD(fd int) (time.Duration, error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, fmt.Errorf("read TCP_INFO: %w", err)
	}
	return quietOf(info), nil
}

func quietOf(info *unix.TCPInfo) time.Duration {
	quiet := info.Last_data_recv
	if info.Retransmits == 0 {
		quiet = min(quiet, info.Last_data_sent)
	}
	if quiet == math.MaxUint32 {
		return math.MaxInt64
	}
	return time.Duration(quiet) * time.Millisecond
}

// Broken reports whether the TCP connection is gone: reset by its peer, or given up by the kernel after keepalive or
// retransmission found nobody. A connection that both ends have shut down in good order is gone as well. A
// socket that is not TCP, or closed, is not broken.
func Broken(conn syscall.RawConn) bool {
	info, err := tcpInfo(conn)
	return err == nil && info.State == tcpClose
}

// Backlog is how many connections of a listening TCP socket wait to be accepted: tcpi_unacked of TCP_INFO, which has
// that meaning there (tcp_get_info() in the kernel's net/ipv4/tcp.c).
func Backlog(fd int) (int, error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, fmt.Errorf("read TCP_INFO: %w", err)
	}
	return int(info.Unacked), nil
}

// Acknowledged returns how many bytes of the TCP connection its peer has acknowledged. The SYN of a connection that was
// made from here counts as one, and a FIN may. It is 0 for a socket that is not TCP, or closed.
func Acknowledged(conn syscall.RawConn) int64 {
	info, err := tcpInfo(conn)
	if err != nil {
		return 0
	}
	return int64(info.Bytes_acked)
}

// Fetched returns how many bytes of the TCP connection were received and read. It is 0 for a socket that is not TCP, or
// closed.
func Fetched(conn syscall.RawConn) int64 {
	var info *unix.TCPInfo
	var unread int
	var infoErr, inqErr error
	err := conn.Control(func(fd uintptr) {
		info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		unread, inqErr = unix.IoctlGetInt(int(fd), unix.SIOCINQ) // second: what comes in between is not taken for read
	})
	if err != nil || infoErr != nil || inqErr != nil {
		return 0
	}
	n := int64(info.Bytes_received) - int64(unread)
	switch info.State {
	case tcpTimeWait, tcpClose, tcpCloseWait, tcpLastAck, tcpClosing: // a FIN was received, and counts as one
		n--
	}
	return max(0, n)
}

func tcpInfo(conn syscall.RawConn) (*unix.TCPInfo, error) {
	var info *unix.TCPInfo
	var optErr error
	err := conn.Control(func(fd uintptr) {
		info, optErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err == nil {
		err = optErr
	}
	if err != nil {
		return nil, fmt.Errorf("read TCP_INFO: %w", err)
	}
	return info, nil
}
