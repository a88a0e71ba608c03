package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"tcp-proxy/internal/sanitize"
)

// Notifier sends the state of the service to the service manager (sd_notify(3)). It sends nothing if there is no service
// manager, or if that expects notifications of another process. It is safe for concurrent use.
type Notifier struct {
	socket   string        // of the service manager; empty: nothing is sent
	watchdog time.Duration // the time-out of the watchdog; 0: there is none
	full     atomic.Bool   // the last message was not sent in time
}

// The time that sending waits for a manager that does not read: normally, and if the last message was not sent in time.
const (
	notifyTimeout = time.Second
	notifyGlance  = 10 * time.Millisecond
)

// NewNotifier takes the variables of the notification socket and of the watchdog out of the environment, so that no child
// uses them. It does not use a socket that this process has inherited from the one that systemd has started (systemd.exec(5):
// SYSTEMD_EXEC_PID). If the variables of the watchdog are invalid, it returns an error and a Notifier without a watchdog.
func NewNotifier() (*Notifier, error) {
	n := &Notifier{}
	if mine("SYSTEMD_EXEC_PID") {
		n.socket = os.Getenv("NOTIFY_SOCKET")
	}
	os.Unsetenv("NOTIFY_SOCKET") // it cannot fail for this name
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		return n, fmt.Errorf("watchdog of systemd: %w", err)
	}
	n.watchdog = watchdog
	return n, nil
}

// Listens reports whether there is a manager to notify.
func (n *Notifier) Listens() bool { return n.socket != "" }

// Ready sends that the service has started, or that a reload has ended.
func (n *Notifier) Ready(status string) error {
	return n.send(daemon.SdNotifyReady, statusLine(status))
}

// Reloading sends that the service reloads its configuration. Ready must follow, also if the reload fails.
func (n *Notifier) Reloading() error {
	return n.send(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// Stopping sends that the service has begun to stop.
func (n *Notifier) Stopping(status string) error {
	return n.send(daemon.SdNotifyStopping, statusLine(status))
}

// Status sends a line that describes the state of the service.
func (n *Notifier) Status(text string) error { return n.send(statusLine(text)) }

// ExtendTimeout extends the time-out of a start or stop to d from now on. It must be called again before d has passed.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	return n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()))
}

// statusLimit is the maximum length of a status, in bytes.
const statusLimit = 1 << 10

func statusLine(text string) string {
	return "STATUS=" + sanitize.Text(strings.Join(strings.Fields(text), " "), statusLimit)
}

func (n *Notifier) send(assignments ...string) error {
	if n.socket == "" {
		return nil
	}
	wait := notifyTimeout
	if n.full.Load() {
		wait = notifyGlance
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		defer conn.Close()
		err = conn.SetWriteDeadline(time.Now().Add(wait))
	}
	if err == nil {
		_, err = conn.Write([]byte(strings.Join(assignments, "\n")))
	}
	n.full.Store(errors.Is(err, os.ErrDeadlineExceeded))
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
