// Package handover is the format in which the sessions of a process outlive it: bytes that one process writes and another
// one reads, perhaps one of another release. It is pure: it does no I/O, and it reads no clock.
//
// A State is written as a whole by Encode, which is for a process that hands over in good order. A Ledger is the same layout,
// written in place while sessions go on, a record at a time: it is what remains if the process is killed. Decode reads both.
//
// # Layout
//
// Numbers are little-endian. The header is in bytes 0 to 79:
//
//	 0  8  magic
//	 8  4  major: what follows has the layout of that number
//	12  4  size of the header, which is where the table of sections begins
//	16 16  boot ID of the machine (random(4): /proc/sys/kernel/random/boot_id)
//	32  8  generation
//	40  4  attempts: how many processes have tried to take the state over
//	44  4  flags: bit 0: clean
//	48  8  length of all, in bytes; what comes behind is ignored
//	56  4  checksum, if clean: CRC-32C (RFC 3720, appendix B.4) of all but bytes 40 to 47 and 56 to 59
//	60  4  size of an entry of the table
//	64  4  number of entries
//	68  4  zero
//	72  8  no session had a higher ID
//
// An entry of the table is the kind of a section (4 bytes), the size of its records (4), and its offset and length in bytes
// (8 and 8). The kinds: 1 routes, 2 targets, 3 ports, 4 sessions, 5 pending bytes, 6 text, 7 notes,
// 8 attempts. A section of an unknown kind is ignored, one that is not there is empty. Pending bytes, text and notes have no
// records: their size is 1. The text section has all strings of records; a field for a string is its offset and length there
// (4 and 4). Notes are JSON. An attempt is the index of a target that a session has tried (4); the session has the number of
// its first and how many there are (4 and 4).
//
// A record of the first four kinds begins with the CRC-32C of all of it from byte 8 on (4 bytes), the busy byte (1), three of zero, and the valid byte,
// which is 1, or 0 if the place is free. From byte 9 on it has its fields, without gaps, in the order of the methods named
// fields in route.go, target.go, port.go and session.go; fields.go has how each kind of field is written. An index of another
// record is written plus one: 0 is none. A section begins at a multiple of 8.
//
// # How it changes
//
// Records only grow, and so do the header and the entries of the table. What is missing at the end of a record is zero, what
// is more than the reader knows is ignored. A word of the configuration that the reader does not know is the first one, and a
// limit beyond those that the configuration allows is the nearest that it allows. Members of the notes that are not known, or
// that have another type, are ignored. Phases and kinds of addresses have no default, so a session with one that the reader does
// not know is refused: a release writes a new one only once the release before it reads it.
//
// The same holds for a new major: a release writes it only once the release before it reads it, so that both an upgrade and a downgrade find what
// they can read. The files in testdata are of every release.
//
// # Times
//
// All times are nanoseconds of CLOCK_MONOTONIC (clock_gettime(2)), which all processes have in common while the machine is
// up: a state with another boot ID is of no use. 0 is no time.
package handover

import (
	"encoding/hex"
	"errors"
	"strings"
)

// Major is the number of the layout that this release writes, and the only one that it reads.
const Major = 1

// State is everything that a process hands over. A Route, Target or Port without an App is a free place: sessions know them
// by index, so the others keep theirs.
type State struct {
	Header
	Routes   []Route
	Targets  []Target
	Ports    []Port
	Sessions []Session
	Notes    Notes

	// Set by Decode, and not written.
	Torn   int      // records of a state that is not clean that were not complete, and sessions that need one of those
	Unread []string // members of the notes that have another type than this release knows, by name; "notes" if it is no JSON
}

// has reports whether the state has a record of a kind.
func (s *State) has(k kind, n int) bool {
	switch {
	case n < 0:
		return false
	case k == routes:
		return n < len(s.Routes) && s.Routes[n].used()
	case k == targets:
		return n < len(s.Targets) && s.Targets[n].used()
	case k == ports:
		return n < len(s.Ports) && s.Ports[n].used()
	}
	return false
}

// Header is what is known of a state before its sections are read.
type Header struct {
	Boot       BootID // of the machine when it was written
	Generation uint64 // of the process that has written it, the first is 1
	Attempts   uint32 // see SetAttempts
	LastID     uint64 // no session of the process had a higher ID
	Clean      bool   // the process has handed over in good order: nothing has moved since, and pending bytes are complete
}

// BootID tells one start of the machine from another.
type BootID [16]byte

// ParseBootID parses the text of /proc/sys/kernel/random/boot_id (random(4)).
func ParseBootID(text string) (BootID, error) {
	var id BootID
	text = strings.TrimSuffix(text, "\n")
	parts := strings.Split(text, "-")
	if len(parts) != 5 || len(parts[0]) != 8 || len(parts[1]) != 4 || len(parts[2]) != 4 || len(parts[3]) != 4 || len(parts[4]) != 12 {
		return BootID{}, errBootID
	}
	if _, err := hex.Decode(id[:], []byte(strings.Join(parts, ""))); err != nil {
		return BootID{}, errBootID
	}
	return id, nil
}

var errBootID = errors.New("the boot ID of the kernel is not a UUID")
