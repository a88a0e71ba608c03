package systemd

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func init() {
	// notify says everything there is to say, and prints what is left in the environment.
	roles["notify"] = func() {
		n, err := NewNotifier()
		for _, err := range []error{
			err,
			n.Ready("1 app,\n1 port"),
			n.Reloading(),
			n.Status("all is well"),
			n.ExtendTimeout(1500 * time.Millisecond),
			n.Stopping("bye"),
		} {
			if err != nil {
				fmt.Println(err)
			}
		}
		fmt.Println("listens:", n.Listens())
		for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
			if value, ok := os.LookupEnv(name); ok {
				fmt.Println("left:", name, value)
			}
		}
	}
}

// manager listens like a service manager. heard returns the notifications so far, without waiting.
func manager(t *testing.T, address string) (heard func() []string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return func() []string {
		var all []string
		data := make([]byte, 4096)
		for {
			conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			n, err := conn.Read(data)
			if err != nil {
				return all
			}
			all = append(all, string(data[:n]))
		}
	}
}

func TestNotify(t *testing.T) {
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@tcp-proxy-test/notify-%d", os.Getpid())} {
		heard := manager(t, address)
		printed := play(t, "notify", nil, "NOTIFY_SOCKET="+address, "SYSTEMD_EXEC_PID=$$", "WATCHDOG_USEC=5000000", "WATCHDOG_PID=$$")
		if want := "listens: true\n"; printed != want {
			t.Errorf("printed %q, want %q", printed, want)
		}
		got := strings.Join(heard(), "|")
		want := `^READY=1\nSTATUS=1 app, 1 port\|RELOADING=1\nMONOTONIC_USEC=[0-9]+\|STATUS=all is well\|` +
			`EXTEND_TIMEOUT_USEC=1500000\|STOPPING=1\nSTATUS=bye$`
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the manager heard %q, want %s", got, want)
		}
	}
}

func TestNotifyForAnotherProcess(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	heard := manager(t, address)
	printed := play(t, "notify", nil, "NOTIFY_SOCKET="+address, "SYSTEMD_EXEC_PID=1")
	if want := "listens: false\n"; printed != want {
		t.Errorf("printed %q, want %q", printed, want)
	}
	if got := heard(); len(got) > 0 {
		t.Errorf("a manager that waits for process 1 heard %q", got)
	}
}

func TestNotifyNobodyThere(t *testing.T) {
	printed := play(t, "notify", nil, "NOTIFY_SOCKET="+filepath.Join(t.TempDir(), "none"), "WATCHDOG_USEC=often")
	if !strings.Contains(printed, "watchdog of systemd: ") || strings.Count(printed, "notify systemd: ") != 5 {
		t.Errorf("printed %q", printed)
	}
}

func TestNotifyManagerThatDoesNotRead(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	manager(t, address)
	n := &Notifier{socket: address}
	begun := time.Now()
	var err error
	for err == nil && time.Since(begun) < 30*time.Second {
		err = n.Status("a line")
	}
	if err == nil || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %v, want a time-out", err, time.Since(begun))
	}
}

func TestWatchdog(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	heard := manager(t, address)
	synctest.Test(t, func(t *testing.T) {
		const interval = 10 * time.Second
		n := &Notifier{socket: address, watchdog: interval}
		ctx, cancel := context.WithTimeout(t.Context(), 10*interval)
		defer cancel()
		begun := time.Now()
		if err := n.Watchdog(ctx, func() bool { return time.Since(begun) < 5*interval }); err != nil {
			t.Error(err)
		}
	})
	if got := len(heard()); got != 10 {
		t.Errorf("%d signs of life in five intervals with progress and five without, want 10", got)
	}
}

func TestWatchdogOff(t *testing.T) {
	for _, n := range []*Notifier{{socket: "/none"}, {watchdog: time.Second}} {
		if err := n.Watchdog(context.Background(), func() bool { panic("asked") }); err != nil {
			t.Error(err)
		}
	}
}

// A status is one line, also with an error of several lines.
func TestStatusLine(t *testing.T) {
	if got, want := statusLine("reload refused: open /a\x1b[2J:\nREADY=1"), `STATUS=reload refused: open /a\x1b[2J: READY=1`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := statusLine(strings.Repeat("a", 1<<16)); len(got) > 2*statusLimit {
		t.Errorf("%d bytes", len(got))
	}
}
