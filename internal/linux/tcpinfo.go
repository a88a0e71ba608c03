package linux

import (
	"fmt"
	"math"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TCP states (the kernel's include/net/tcp_states.h).
const (
	tcpTimeWait  = 6
	tcpClose     = 7
	tcpCloseWait = 8
	tcpLastAck   = 9
	tcpClosing   = 11
)

// Quiet returns how long ago the TCP connection last moved data, in either direction (TCP_INFO: tcpi_last_data_recv,
// tcpi_last_data_sent). Retransmissions do not count. The result for a connection that never moved data is at least its
// age; callers limit it to the age of the session. The resolution is the kernel's tick. It fails if the socket is closed or
// not TCP.
func Quiet(conn syscall.RawConn) (time.Duration, error) {
	info, err := tcpInfo(conn)
	if err != nil {
		return 0, err
	}
	return quietOf(info), nil
}

// QuietFD is Quiet for a descriptor.
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

// Broken reports whether the TCP connection is gone: the peer reset it, or the kernel gave up after keepalive or
// retransmissions without an answer. A connection that both ends have shut down in order is gone, too. It is false for a
// socket that is closed or not TCP.
func Broken(conn syscall.RawConn) bool {
	info, err := tcpInfo(conn)
	return err == nil && info.State == tcpClose
}

// Backlog returns how many connections of a listening TCP socket wait to be accepted: tcpi_unacked of TCP_INFO, for
// listening sockets (tcp_get_info() in the kernel's net/ipv4/tcp.c).
func Backlog(fd int) (int, error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, fmt.Errorf("read TCP_INFO: %w", err)
	}
	return int(info.Unacked), nil
}

// Acknowledged returns how many bytes of the TCP connection the peer has acknowledged. The SYN of an outgoing connection
// counts as one, and a FIN may. It is 0 for a socket that is closed or not TCP.
func Acknowledged(conn syscall.RawConn) int64 {
	info, err := tcpInfo(conn)
	if err != nil {
		return 0
	}
	return int64(info.Bytes_acked)
}

// Fetched returns how many bytes of the TCP connection were received and read. It is 0 for a socket that is closed or not
// TCP.
func Fetched(conn syscall.RawConn) int64 {
	var info *unix.TCPInfo
	var unread int
	var infoErr, inqErr error
	err := conn.Control(func(fd uintptr) {
		info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		unread, inqErr = unix.IoctlGetInt(int(fd), unix.SIOCINQ) // after TCP_INFO, so that bytes that arrive in between do not count as read
	})
	if err != nil || infoErr != nil || inqErr != nil {
		return 0
	}
	n := int64(info.Bytes_received) - int64(unread)
	switch info.State {
	case tcpTimeWait, tcpClose, tcpCloseWait, tcpLastAck, tcpClosing: // a received FIN counts as one byte
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
