package systemd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"golang.org/x/sys/unix"
)

// journalSocket is journald's socket for entries (systemd-journald.service(8)).
const journalSocket = "/run/systemd/journal/socket"

// The time that Send waits while the journal is full: normally, and if the last entry was not sent for that reason.
const (
	journalTimeout = 100 * time.Millisecond
	journalGlance  = time.Millisecond
)

// Field is a field of a journal entry. Its name has upper-case letters, digits and underscores, and begins with a
// letter.
type Field struct{ Name, Value string }

// StderrIsJournal reports whether the standard error of this process is connected to the journal.
func StderrIsJournal() bool {
	is, err := journal.StderrIsJournalStream()
	return is && err == nil
}

// Journal sends entries with fields to journald (systemd.io/JOURNAL_NATIVE_PROTOCOL). It is safe for concurrent use.
//
// It replaces journal.Send of go-systemd, which waits without a time-out while the journal is full.
type Journal struct {
	path string

	mu   sync.Mutex // guards what follows
	conn *net.UnixConn
	full bool // the last entry was not sent in time
	data []byte
}

// OpenJournal connects to the journal of this system. The caller closes it.
func OpenJournal() (*Journal, error) { return openJournal(journalSocket) }

func openJournal(path string) (*Journal, error) {
	j := &Journal{path: path}
	if err := j.connect(); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return j, nil
}

// connect replaces the connection. On an error it keeps the previous one.
func (j *Journal) connect() error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: j.path, Net: "unixgram"})
	if err == nil {
		j.conn = conn
	}
	return err
}

// Send writes an entry. It fails if the journal stays full for journalTimeout, is not running, or does not accept an entry of
// that length. After it has stayed full, Send waits only journalGlance until an entry is accepted again.
func (j *Journal) Send(fields []Field) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.data = j.data[:0]
	for _, f := range fields {
		j.data = appendField(j.data, f)
	}
	err := j.write()
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTCONN) || errors.Is(err, net.ErrClosed) {
		// journald was restarted.
		j.conn.Close()
		if err = j.connect(); err == nil {
			err = j.write()
		}
	}
	if err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	return nil
}

func (j *Journal) write() error {
	wait := journalTimeout
	if j.full {
		wait = journalGlance
	}
	if err := j.conn.SetWriteDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	_, err := j.conn.Write(j.data)
	j.full = errors.Is(err, os.ErrDeadlineExceeded)
	return err
}

// Close closes the connection.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.conn.Close()
}

// appendField appends NAME=VALUE and a newline, or, for a value with newlines: NAME, a newline, the length of the value as 64
// bits, little-endian, the value, and a newline.
func appendField(to []byte, f Field) []byte {
	to = append(to, f.Name...)
	if strings.Contains(f.Value, "\n") {
		to = append(to, '\n')
		to = binary.LittleEndian.AppendUint64(to, uint64(len(f.Value)))
	} else {
		to = append(to, '=')
	}
	to = append(to, f.Value...)
	return append(to, '\n')
}
