package handover

import (
	"fmt"
	"math"
)

// Encode writes a state. The error says which part of it cannot be; it is a fault of the caller. Pending bytes are copied.
func (s *State) Encode() ([]byte, error) {
	return s.encode(&shape{header: headerSize, entry: entrySize, record: sizes})
}

// shape is how large the parts of an encoded state are. Encode has that of this release; tests have those of others.
type shape struct {
	header, entry int
	record        [kinds]int
	filler        byte // in what is larger than this release writes
}

// encoder writes the sections of a state.
type encoder struct {
	*shape
	b        []byte
	sections sections
	scratch  [scratchSize]byte
	fields   fields
}

func (s *State) encode(as *shape) ([]byte, error) {
	e := encoder{shape: as, fields: fields{write: &textWriter{limit: math.MaxInt32}}}
	records := len(s.Routes)*as.record[routes] + len(s.Targets)*as.record[targets] + len(s.Ports)*as.record[ports] + len(s.Sessions)*as.record[sessions]
	e.b = make([]byte, 0, as.header+int(kinds)*(as.entry+8)+records+s.pending()+4096)
	e.b = appendHeader(e.b, &s.Header, as.header, as.entry)
	err := e.records(s)
	if err != nil {
		return nil, err
	}
	e.raw(pending, e.fields.held)
	e.raw(text, e.fields.write.b)
	e.begin(notes, 1)
	if e.b, err = s.Notes.append(e.b); err != nil {
		return nil, fmt.Errorf("notes: %w", err)
	}
	e.end(notes)
	e.putAttempts()
	putTable(e.b, &e.sections, len(e.b))
	e.fill()
	if s.Clean {
		seal(e.b)
	}
	return e.b, nil
}

// pending is the number of pending bytes.
func (s *State) pending() int {
	n := 0
	for i := range s.Sessions {
		n += len(s.Sessions[i].Flow[Client].Pending) + len(s.Sessions[i].Flow[Server].Pending)
	}
	return n
}

// fill fills in what is larger than this release writes.
func (e *encoder) fill() {
	for i := headerSize; i < e.header; i++ {
		e.b[i] = e.filler
	}
	for n := range int(kinds - 1) {
		for i := entrySize; i < e.entry; i++ {
			e.b[e.header+n*e.entry+i] = e.filler
		}
	}
}

func (e *encoder) begin(k kind, size int) {
	e.b = append(e.b, make([]byte, -len(e.b)&7)...)
	e.sections[k] = section{offset: len(e.b), size: size}
}

func (e *encoder) end(k kind) { e.sections[k].length = len(e.b) - e.sections[k].offset }

func (e *encoder) raw(k kind, content []byte) {
	e.begin(k, 1)
	e.b = append(e.b, content...)
	e.end(k)
}

// putAttempts writes the section of attempts.
func (e *encoder) putAttempts() {
	size := e.record[attempts]
	e.begin(attempts, size)
	for at := 0; at < len(e.fields.attempts); at += attemptSize {
		e.b = append(e.b, e.fields.attempts[at:at+attemptSize]...)
		for range size - attemptSize {
			e.b = append(e.b, e.filler)
		}
	}
	e.end(attempts)
}

// records writes the sections that have records.
func (e *encoder) records(s *State) error {
	e.fields.held = make([]byte, 0, s.pending())
	if err := addAll(e, routes, s.Routes); err != nil {
		return err
	}
	if err := addAll(e, targets, s.Targets); err != nil {
		return err
	}
	if err := addAll(e, ports, s.Ports); err != nil {
		return err
	}
	for i := range s.Sessions {
		if lack := s.Sessions[i].lack(s.has); lack != "" {
			return fmt.Errorf("session %d: %s", i, lack)
		}
	}
	return addAll(e, sessions, s.Sessions)
}

// addAll writes a section. It works on copies: the state does not change.
func addAll[T any, P recordOf[T]](e *encoder, k kind, list []T) error {
	e.begin(k, e.record[k])
	var v T
	for i := range list {
		v = list[i]
		if lack := e.add(k, P(&v)); lack != "" {
			return fmt.Errorf("%s, record %d: %s", names[k], i, lack)
		}
	}
	e.end(k)
	return nil
}

// add appends a record. It returns what is wrong with it.
func (e *encoder) add(k kind, r record) string {
	begin, size := len(e.b), e.record[k]
	e.b = append(e.b, make([]byte, size)...)
	if !r.used() {
		return ""
	}
	to := e.b[begin:]
	writeRecord(&e.fields, e.scratch[:sizes[k]], r)
	for i := copy(to, e.scratch[:sizes[k]]); i < size; i++ {
		to[i] = e.filler
	}
	sealRecord(to)
	return e.fields.lack
}
