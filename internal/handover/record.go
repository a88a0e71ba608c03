package handover

import (
	"encoding/binary"
	"hash/crc32"
)

// The head of every record.
const (
	atSum      = 0 // of what is from atValid on
	atBusy     = 4
	atValid    = 8
	atFields   = 9
	recordHead = 12
)

// record is a value that a section has records of.
type record interface {
	fields(*fields)
	used() bool // otherwise its place is free
	isBusy() *bool
}

// recordOf is the constraint that *T is a record.
type recordOf[T any] interface {
	*T
	record
}

// attemptSize is the size of an attempt.
const attemptSize = 4

// sizes are those of the records that this release writes. What measures them must not use them.
var sizes = [kinds]int{routes: sizeOf(&Route{}), targets: sizeOf(&Target{}), ports: sizeOf(&Port{}), sessions: sizeOf(&Session{}),
	pending: 1, text: 1, notes: 1, attempts: attemptSize}

// scratchSize is enough for a record of every kind.
const scratchSize = 640

// sizeOf measures a record. Its size is a multiple of 8.
func sizeOf(r record) int {
	f := fields{write: &textWriter{}}
	writeRecord(&f, make([]byte, scratchSize), r)
	return (f.at + 7) &^ 7
}

// writeRecord writes a record into b, which is as large as a record of this release. It is not sealed.
func writeRecord(f *fields, b []byte, r record) {
	clear(b)
	f.record, f.at, f.lack, f.full = b, atFields, "", false
	if busy := r.isBusy(); busy != nil && *busy {
		b[atBusy] = 1
	}
	r.fields(f)
}

// readRecord reads a record from its place, of whatever size. scratch is memory for a record.
func readRecord(f *fields, place, scratch []byte, r record) {
	f.record, f.at, f.lack = place, atFields, ""
	if len(place) < len(scratch) {
		clear(scratch[copy(scratch, place):])
		f.record = scratch
	}
	if busy := r.isBusy(); busy != nil {
		*busy = place[atBusy] != 0
	}
	r.fields(f)
}

// sealRecord makes a record valid, the fields of which are written.
func sealRecord(b []byte) {
	b[atValid] = 1
	binary.LittleEndian.PutUint32(b[atSum:], crc32.Checksum(b[atValid:], castagnoli))
}

// condition is what is in the place of a record.
type condition uint8

const (
	free condition = iota
	whole
	torn // its writer was killed meanwhile
)

func conditionOf(b []byte) condition {
	switch {
	case b[atValid] == 0:
		return free
	case b[atValid] == 1 && binary.LittleEndian.Uint32(b[atSum:]) == crc32.Checksum(b[atValid:], castagnoli):
		return whole
	}
	return torn
}
