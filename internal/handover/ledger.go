package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Places is how many records a Ledger has room for, and how many bytes of text.
type Places struct {
	Routes, Targets, Ports, Sessions int
	Text                             int
}

// of is the number of places of a kind.
func (p *Places) of(k kind) int {
	return [kinds]int{routes: p.Routes, targets: p.Targets, ports: p.Ports, sessions: p.Sessions, text: p.Text}[k]
}

// Size is the number of bytes of a ledger with these places.
func (p *Places) Size() int {
	_, size := p.plan()
	return size
}

// plan is where the sections of a ledger are, and the end of the last.
func (p *Places) plan() (sections, int) {
	var table sections
	end := headerSize + int(kinds-1)*entrySize
	for k := routes; k < kinds; k++ {
		end = (end + 7) &^ 7
		size := max(sizes[k], 1)
		table[k] = section{end, p.of(k) * size, size}
		end += table[k].length
	}
	return table, end
}

// Ledger is a state that its process keeps up to date in shared memory, for the case that it is killed. It has records at
// fixed places, and neither pending bytes nor notes. One goroutine uses it at a time.
//
// A kill leaves every record as it was before or after a Set, or torn in between: the checksum of a record is written with
// its bytes in no certain order, and Decode believes only a record whose checksum is right. Text is there before the
// record that needs it. The kernel keeps what a killed process has written to a shared mapping (mmap(2): MAP_SHARED).
type Ledger struct {
	data    []byte
	table   sections
	scratch [scratchSize]byte
	session Session
	fields  fields
	text    textWriter
}

// ErrFull is the error of a Set for which the ledger has no place or no room for text: a larger one is needed, or one without
// the text of records that are gone.
var ErrFull = errors.New("the ledger is full")

// NewLedger makes an empty ledger of data, which is zero from begin to end, as new shared memory is, and has Size bytes or
// more. The ledger is not clean.
func NewLedger(data []byte, h Header, p Places) (*Ledger, error) {
	for k := routes; k < kinds; k++ {
		if n := p.of(k); n < 0 || n > 1<<30 {
			return nil, fmt.Errorf("a ledger cannot have %d %s", n, names[k])
		}
	}
	table, size := p.plan()
	if size > len(data) {
		return nil, fmt.Errorf("a ledger of %d bytes does not fit into %d", size, len(data))
	}
	appendHeader(data[:0], &h, headerSize, entrySize)
	putTable(data, &table, size)
	l := &Ledger{data: data[:size], table: table}
	l.text = textWriter{b: table.bytes(data, text)[:0], limit: p.Text}
	l.fields.write = &l.text
	return l, nil
}

// SetRoute writes a route to place n. Sessions that have the place must not need another one.
func (l *Ledger) SetRoute(n int, r Route) error { return l.set(routes, n, &r) }

// SetTarget is SetRoute for a target.
func (l *Ledger) SetTarget(n int, t Target) error { return l.set(targets, n, &t) }

// SetPort is SetRoute for a port.
func (l *Ledger) SetPort(n int, p Port) error { return l.set(ports, n, &p) }

// SetSession writes a session to place n. Its Pending is left out: a byte that is inside a process is lost with it, which
// Balance shows. So are Tried and Failure.
func (l *Ledger) SetSession(n int, s *Session) error {
	l.session = *s
	l.session.Flow[Client].Pending, l.session.Flow[Server].Pending = nil, nil
	l.session.Tried, l.session.Failure = nil, ""
	if lack := l.session.lack(l.has); lack != "" {
		return fmt.Errorf("%s, place %d: %s", names[sessions], n, lack)
	}
	return l.set(sessions, n, &l.session)
}

// FreeSession makes place n free. There is such a place.
func (l *Ledger) FreeSession(n int) { l.table.record(l.data, sessions, n)[atValid] = 0 }

// SetLastID notes that no session has a higher ID than n.
func (l *Ledger) SetLastID(n uint64) { binary.LittleEndian.PutUint64(l.data[atLastID:], n) }

// SetBusy notes whether bytes of the session at place n are being moved: set before the system call that reads them, and
// cleared after the one that has written the last of them. It is one byte, which no checksum covers. SetSession sets it too.
func (l *Ledger) SetBusy(n int, busy bool) {
	b := byte(0)
	if busy {
		b = 1
	}
	l.table.record(l.data, sessions, n)[atBusy] = b
}

// Session reads the session at place n, which there is. It reports false if the place is free.
func (l *Ledger) Session(n int) (Session, bool) {
	place := l.table.record(l.data, sessions, n)
	if conditionOf(place) != whole {
		return Session{}, false
	}
	reader := fields{reading: true, read: &textReader{}}
	readRecord(&reader, place, l.scratch[:sizes[sessions]], &l.session)
	return l.session, true
}

// Seal makes the ledger clean: the process hands over in good order, and no byte is inside it. Nothing may be set afterwards.
func (l *Ledger) Seal() { seal(l.data) }

// set writes a record. What can fail comes first.
func (l *Ledger) set(k kind, n int, r record) error {
	if n < 0 || n >= l.table[k].count() {
		return fmt.Errorf("%s, place %d: %w", names[k], n, ErrFull)
	}
	to, place := l.scratch[:sizes[k]], l.table.record(l.data, k, n)
	if !r.used() {
		place[atValid] = 0
		return nil
	}
	writeRecord(&l.fields, to, r)
	switch {
	case l.fields.full:
		return fmt.Errorf("%s, place %d, text: %w", names[k], n, ErrFull)
	case l.fields.lack != "":
		return fmt.Errorf("%s, place %d: %s", names[k], n, l.fields.lack)
	}
	sealRecord(to)
	copy(place, to)
	return nil
}

// has reports whether there is a record of a kind.
func (l *Ledger) has(k kind, n int) bool {
	return n >= 0 && n < l.table[k].count() && l.table.record(l.data, k, n)[atValid] != 0
}
