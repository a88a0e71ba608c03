package systemd

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func journald(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func received(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	data := make([]byte, 1<<16)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := conn.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(data[:n])
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	conn := journald(t, path)
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Send([]Field{{"MESSAGE", "two\nlines"}, {"APP", "web=1"}, {"EMPTY", ""}}); err != nil {
		t.Fatal(err)
	}
	if got, want := received(t, conn), "MESSAGE\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\nAPP=web=1\nEMPTY=\n"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}

	// journald is replaced.
	conn.Close()
	os.Remove(path)
	conn = journald(t, path)
	if err := j.Send([]Field{{"APP", "again"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := received(t, conn), "APP=again\n"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}

	if err := j.Send([]Field{{"APP", strings.Repeat("x", 16<<20)}}); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("an entry that is too long: %v", err)
	}
	conn.Close()
	if err := j.Send([]Field{{"APP", "gone"}}); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a journal that is gone: %v", err)
	}
}

func TestJournalFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	conn := journald(t, path)
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for begun := time.Now(); err == nil; err = j.Send([]Field{{"MESSAGE", "more"}}) {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("the journal is never full")
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a full journal: %v", err)
	}
	received(t, conn)
	if err := j.Send([]Field{{"MESSAGE", "room again"}}); err != nil {
		t.Errorf("a journal with room: %v", err)
	}
}

func TestNoJournal(t *testing.T) {
	if _, err := openJournal(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no journal: %v", err)
	}
	t.Setenv("JOURNAL_STREAM", "1:2")
	if StderrIsJournal() {
		t.Error("standard error is taken for a journal that it is not")
	}
}
