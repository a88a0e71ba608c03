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

// Notifier tells the service manager what the service does (sd_notify(3)). Without a service manager, and with one that
// waits for another process, it tells nobody. It is safe for concurrent use.
type Notifier struct {
	socket   string        // where to; empty: nobody
	watchdog time.Duration // how often a sign of life is due; 0: never
	full     atomic.Bool   // it did not take the last message in time
}

// How long a manager that does not read can hold its service up, and how long when it already has.
const (
	notifyTimeout = time.Second
	notifyGlance  = 10 * time.Millisecond
)

// NewNotifier takes the notification socket and the watchdog out of the environment, so that no child can use them. A
// socket that was inherited from the process that systemd has started, and that is not this one (systemd.exec(5):
// SYSTEMD_EXEC_PID), is not used. Without a watchdog that makes sense the error says so, and the rest works.
func NewNotifier() (*Notifier, error) {
	n := &Notifier{}
	if mine("SYSTEMD_EXEC_PID") {
		n.socket = os.Getenv("NOTIFY_SOCKET")
	}
	os.Unsetenv("NOTIFY_SOCKET") // fails for no name like this one
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		return n, fmt.Errorf("watchdog of systemd: %w", err)
	}
	n.watchdog = watchdog
	return n, nil
}

// Listens reports whether there is a manager that wants to be told.
func (n *Notifier) Listens() bool { return n.socket != "" }

// Ready says that the service has started, or has finished reloading.
func (n *Notifier) Ready(status string) error {
	return n.send(daemon.SdNotifyReady, statusLine(status))
}

// Reloading says that the service reloads its configuration. Ready has to follow, whatever comes of it.
func (n *Notifier) Reloading() error {
	return n.send(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// Stopping says that the service has begun to stop.
func (n *Notifier) Stopping(status string) error {
	return n.send(daemon.SdNotifyStopping, statusLine(status))
}

// Status says in a line what the service does.
func (n *Notifier) Status(text string) error { return n.send(statusLine(text)) }

// ExtendTimeout asks for d from now on, for a start or stop that takes longer than the unit allows. It has to be said
// again before d is over.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	return n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()))
}

// statusLimit is how long a status may be, in bytes.
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
