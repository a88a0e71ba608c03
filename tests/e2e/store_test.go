package e2e

import (
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/tests/harness"
)

// storeVariable makes a process of this program a service that has a session and stores it in systemd: what a later release
// leaves when it is replaced with this one.
const storeVariable = "TCP_PROXY_E2E_STORE"

// store accepts one client at the address, stores its socket, and ends with a signal.
func store(address string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM)
	l, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	tell("READY=1")
	conn, err := l.Accept()
	if err != nil {
		panic(err)
	}
	conn.(*net.TCPConn).SetLinger(0)
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		panic(err)
	}
	tell("FDSTORE=1\nFDPOLL=0\nFDNAME=handover-0", int(file.Fd()))
	tell("STATUS=stored")
	<-signals
}

// tell notifies systemd (sd_notify(3)), with descriptors.
func tell(text string, fds ...int) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	defer unix.Close(socket)
	if err := unix.Sendmsg(socket, []byte(text), unix.UnixRights(fds...), &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}, 0); err != nil {
		panic(err)
	}
}

// A session that another release has stored does not keep the service from starting. It ends with a reset, and the log says so.
func TestWhatAnotherReleaseHasStored(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "example")
		m.install("")
		self, err := os.Executable()
		m.must(err)
		program, err := os.ReadFile(self)
		m.must(err)
		m.write("/usr/local/bin/store", string(program))
		m.must(os.Chmod(m.path("/usr/local/bin/store"), 0o755))
		m.drop("tcp-proxy.service", "[Service]\nFileDescriptorStoreMax=8\nEnvironment="+storeVariable+"=127.0.0.1:5002\nExecStart=\nExecStart=/usr/local/bin/store\n")
		m.run("systemctl", "restart", "tcp-proxy")
		client, err := m.dial("127.0.0.1:5002")
		m.must(err)
		defer client.Close()
		m.becomes("tcp-proxy.service", "StatusText", "stored")
		m.becomes("tcp-proxy.service", "NFileDescriptorStore", "1")

		m.drop("tcp-proxy.service", "[Service]\nFileDescriptorStoreMax=8\n")
		m.run("systemctl", "restart", "tcp-proxy")
		m.reaches("127.0.0.1:5001", "example")
		m.becomes("tcp-proxy.service", "NFileDescriptorStore", "0")
		client.SetReadDeadline(time.Now().Add(harness.Timeout))
		if _, err := client.Read(make([]byte, 1)); err == nil || err == io.EOF || !strings.Contains(err.Error(), "reset") {
			m.Errorf("the client of the stored session reads: %v", err)
		}
		harness.Eventually(m, "the log says what became of it", func() bool {
			return strings.Contains(m.entries("tcp-proxy", "-o", "cat"), "systemd has stored descriptors for another version of tcp-proxy: they are closed")
		})
	})
}
