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

// journalSocket is where journald takes entries (systemd-journald.service(8)).
const journalSocket = "/run/systemd/journal/socket"

// How long an entry waits for a journal that is full, and for one that was full for the last entry.
const (
	journalTimeout = 100 * time.Millisecond
	journalGlance  = time.Millisecond
)

// Field is a field of a journal entry. Its name has upper-case letters, digits and underscores, and begins with a
// letter.
type Field struct{ Name, Value string }

// StderrIsJournal reports whether what this process writes to its standard error goes to the journal.
func StderrIsJournal() bool {
	is, err := journal.StderrIsJournalStream()
	return is && err == nil
}

// Journal sends entries with fields to journald (systemd.io/JOURNAL_NATIVE_PROTOCOL). It is safe for concurrent use.
//
// It stands in for journal.Send of go-systemd, which waits for a full journal without end, and on a socket that nothing
// need ever wake.
type Journal struct {
	path string

	mu   sync.Mutex // guards what follows
	conn *net.UnixConn
	full bool // it did not take the last entry in time
	data []byte
}

// OpenJournal connects to the journal of this system. Close gives the connection back.
func OpenJournal() (*Journal, error) { return openJournal(journalSocket) }

func openJournal(path string) (*Journal, error) {
	j := &Journal{path: path}
	if err := j.connect(); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return j, nil
}

// connect leaves the connection that was there, if it fails.
func (j *Journal) connect() error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: j.path, Net: "unixgram"})
	if err == nil {
		j.conn = conn
	}
	return err
}

// Send writes an entry. It fails if the journal stays full for a tenth of a second, is gone, or does not take an entry
// of that length. A journal that stayed full is not waited for again before it has taken an entry.
func (j *Journal) Send(fields []Field) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.data = j.data[:0]
	for _, f := range fields {
		j.data = appendField(j.data, f)
	}
	err := j.write()
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTCONN) || errors.Is(err, net.ErrClosed) {
		// Another journald has taken the place of the one that was there.
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

// Close gives the connection back.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.conn.Close()
}

// appendField writes NAME=VALUE, or, for a value of more than one line, its length as 64 bits, little end first.
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
