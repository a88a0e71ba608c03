package handover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode"

	gocmp "github.com/google/go-cmp/cmp"
)

// wantKind wants that a state cannot be read, for a reason that is one sentence.
func wantKind(t *testing.T, b []byte, id BootID, kind Kind) {
	t.Helper()
	s, err := Decode(b, id)
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || s != nil {
		t.Errorf("%v, want an error of the kind %s", err, kind)
		return
	}
	if text := err.Error(); len(text) < 20 || len(text) > 200 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("not one plain sentence: %q", text)
	}
}

// entryOf is the entry of a section in the table.
func entryOf(b []byte, k kind) []byte { return b[headerSize+int(k-1)*entrySize:] }

// Whatever is wrong with a state has its kind of error.
func TestDecodeRefuses(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name   string
		kind   Kind
		change func(b []byte) []byte // seal follows if the kind is Damaged
	}{
		{"nothing", NotAState, func(b []byte) []byte { return nil }},
		{"text", NotAState, func(b []byte) []byte { return []byte("#!/bin/sh\nexit 0\n") }},
		{"other magic", NotAState, func(b []byte) []byte { b[7] = '\r'; return b }},
		{"a later major", UnknownFormat, func(b []byte) []byte { b[atMajor] = 2; return b }},
		{"a later major, of another length", UnknownFormat, func(b []byte) []byte { b[atMajor] = 2; return b[:20] }},
		{"another start of the machine", OtherBoot, func(b []byte) []byte { b[atBoot]++; return b }},
		{"a bit of a record", WrongChecksum, func(b []byte) []byte { b[600] ^= 1; return b }},
		{"the generation", WrongChecksum, func(b []byte) []byte { b[atGeneration]++; return b }},
		{"the last byte", WrongChecksum, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		{"half a header", Damaged, func(b []byte) []byte { return b[:atLength] }},
		{"a record", Damaged, func(b []byte) []byte { b[int(le.Uint64(entryOf(b, sessions)[8:]))+100]++; return b }},
		{"no room for the table", Damaged, func(b []byte) []byte { le.PutUint32(b[atHeaderSize:], uint32(len(b))); return b }},
		{"a table in the header", Damaged, func(b []byte) []byte { le.PutUint32(b[atHeaderSize:], 8); return b }},
		{"entries without size", Damaged, func(b []byte) []byte { le.PutUint32(b[atEntrySize:], 0); return b }},
		{"too many entries", Damaged, func(b []byte) []byte { le.PutUint32(b[atEntries:], 1<<32-1); return b }},
		{"records without size", Damaged, func(b []byte) []byte { le.PutUint32(entryOf(b, routes)[4:], 0); return b }},
		{"records without head", Damaged, func(b []byte) []byte { le.PutUint32(entryOf(b, routes)[4:], 8); return b }},
		{"half a record", Damaged, func(b []byte) []byte { le.PutUint64(entryOf(b, routes)[16:], uint64(sizes[routes]+1)); return b }},
		{"text with records", Damaged, func(b []byte) []byte { le.PutUint32(entryOf(b, text)[4:], 2); return b }},
		{"a section behind the end", Damaged, func(b []byte) []byte { le.PutUint64(entryOf(b, text)[8:], uint64(len(b))); return b }},
		{"a section of nearly everything there is", Damaged, func(b []byte) []byte { le.PutUint64(entryOf(b, pending)[16:], 1<<64-1); return b }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.change(golden(t, "full"))
			if c.kind == Damaged && len(b) >= headerSize {
				seal(b)
			}
			wantKind(t, b, boot, c.kind)
		})
	}
	b := golden(t, "full")
	le.PutUint64(b[atLength:], headerSize-1)
	wantKind(t, b, boot, Damaged)
	b = golden(t, "full")
	copy(entryOf(b, notes)[:entrySize], entryOf(b, targets))
	seal(b)
	if _, err := Decode(b, boot); err == nil || err.Error() != "the stored state has two sections of targets" {
		t.Errorf("two sections of targets: %v", err)
	}
	b = golden(t, "full")
	for n := range b { // cut short anywhere
		s, err := Decode(b[:n], boot)
		var e *Error
		if !errors.As(err, &e) || s != nil {
			t.Fatalf("of %d bytes: %v", n, err)
		}
	}
}

// rewritten is full after a change of a state that Encode would refuse, so that it is made after the checks: record by record.
func rewritten(t *testing.T, change func(s *State)) []byte {
	t.Helper()
	s := full()
	s.Sessions[0].Failure = "" // the text section remains as it is
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, b, table, err := parse(b, boot)
	if err != nil {
		t.Fatal(err)
	}
	change(s)
	for i := range s.Sessions {
		place := table.record(b, sessions, i)
		x := s.Sessions[i]
		f := fields{write: &textWriter{}}
		writeRecord(&f, place, &x)
		sealRecord(place)
	}
	seal(b)
	return b
}

// Records that contradict each other are refused, though every checksum is right.
func TestDecodeRefusesContradictions(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(s *State)
	}{
		{"route", "there is no such route", func(s *State) { s.Sessions[0].Route = 1 }},
		{"no route", "there is no such route", func(s *State) { s.Sessions[0].Route = -1 }},
		{"a route far away", "there is no such route", func(s *State) { s.Sessions[0].Route = 1<<31 - 2 }},
		{"port", "there is no such port", func(s *State) { s.Sessions[0].Port = 7 }},
		{"target", "there is no such target", func(s *State) { s.Sessions[0].Target = 1 }},
		{"no phase", "its phase is not known", func(s *State) { s.Sessions[0].Phase = 0 }},
		{"a later phase", "its phase is not known", func(s *State) { s.Sessions[0].Phase = Relaying + 1 }},
		{"a third side", "a side that has finished or broken is not known", func(s *State) { s.Sessions[0].First = 3 }},
		{"a third side has finished", "a side that has finished or broken is not known", func(s *State) { s.Sessions[0].Finished = 4 }},
		{"a third side has broken", "a side that has finished or broken is not known", func(s *State) { s.Sessions[0].Broken = 255 }},
		{"tried", "the targets that it has tried are not in the section of attempts", func(s *State) { s.Sessions[0].Tried = []int{0, 0, 0, 0} }},
		{"tried by two", "the targets that it has tried are not in the section of attempts", func(s *State) {
			s.Sessions[0].Tried, s.Sessions[1].Tried = []int{0, 0}, []int{0, 0}
		}},
		{"no client", "it has no socket of a client", func(s *State) { s.Sessions[0].Side[Client].Cookie = 0 }},
		{"no target", "it relays, and has no target", func(s *State) { s.Sessions[0].Target = NoTarget }},
		{"no socket of a target", "it relays, and has no target", func(s *State) { s.Sessions[0].Side[Server].Cookie = 0 }},
		{"a target too early", "it has a target, and does not relay", func(s *State) { s.Sessions[1].Target = 0 }},
		{"half a header", "its PROXY header has only one address", func(s *State) { s.Sessions[0].HeaderSource = s.Sessions[1].HeaderSource }},
		{"metered", "more bytes are counted than were moved", func(s *State) { s.Sessions[0].Flow[Server].Metered++ }},
		{"negative", "a time or a number of bytes is negative", func(s *State) { s.Sessions[0].Flow[Client].Rate.Missing = -1 }},
		{"negative bytes", "a time or a number of bytes is negative", func(s *State) { s.Sessions[0].Flow[Client].Metered = -1 }},
		{"pending", "its pending bytes are not in the section of pending bytes", func(s *State) {
			s.Sessions[0].Flow[Client].Pending = make([]byte, 400)
		}},
		{"the same ID", "two of its sessions have the ID 4711", func(s *State) { s.Sessions[1].ID = 4711 }},
		{"the same socket", "the socket with the cookie 4098 is in it twice", func(s *State) { s.Sessions[1].Side[Client].Cookie = 0x1002 }},
		{"pending bytes of two", "its sessions have more pending bytes than there are", func(s *State) {
			s.Sessions[0].Flow[Server].Pending, s.Sessions[1].Flow[Client].Pending = make([]byte, 250), make([]byte, 250)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := rewritten(t, c.change)
			wantKind(t, b, boot, Damaged)
			if _, err := Decode(b, boot); err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// Lists of networks that overlap in the text do not take more memory than the text.
func TestListsOfNetworksAreBounded(t *testing.T) {
	r := textReader{all: strings.Repeat("10.0.0.0/8 ", 100)}
	if _, ok := r.networks(r.all); !ok {
		t.Fatal("the whole text")
	}
	if _, ok := r.networks(r.all); !ok {
		t.Error("the same list again")
	}
	if _, ok := r.networks(r.all[11:]); ok {
		t.Error("another list, of text that is used")
	}
}

// mend makes every checksum right, so that a fuzzer gets beyond them.
func mend(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < headerSize {
		return b
	}
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[atMajor:], Major)
	copy(b[atBoot:], boot[:])
	if table, err := parseTable(b); err == nil {
		for k := routes; k < pending; k++ {
			for i := range table[k].count() {
				if place := table.record(b, k, i); place[atValid] != 0 {
					sealRecord(place)
				}
			}
		}
	}
	if length := binary.LittleEndian.Uint64(b[atLength:]); b[atFlags]&flagClean != 0 && length >= headerSize && length <= uint64(len(b)) {
		seal(b[:length])
	}
	return b
}

// For any bytes: no panic; an error is an *Error of one line; and what is decoded is encoded to something that is decoded
// equally.
func FuzzDecode(f *testing.F) {
	for _, g := range goldenFiles {
		f.Add(golden(f, g.name))
	}
	_, ledger, _ := filled(f)
	f.Add(ledger)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, b := range [][]byte{data, mend(data)} {
			s, err := Decode(b, boot)
			var e *Error
			switch {
			case err == nil:
				checkAgain(t, s)
			case !errors.As(err, &e) || s != nil || len(err.Error()) > 200 || strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }):
				t.Fatalf("%#v, %v", s, err)
			}
		}
	})
}

// checkAgain encodes and decodes a state that was decoded.
func checkAgain(t *testing.T, s *State) {
	t.Helper()
	first, err := s.Encode()
	if err != nil {
		t.Fatalf("what was decoded is not encoded: %v", err)
	}
	again, err := Decode(first, boot)
	if err != nil {
		t.Fatalf("what was encoded is not decoded: %v", err)
	}
	second, err := again.Encode()
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("encoded again, it differs: %v", err)
	}
	s.Torn, s.Unread, s.Notes, again.Notes = 0, nil, Notes{}, Notes{} // of maps, empty ones are left out
	if !reflect.DeepEqual(s, again) {
		t.Fatalf("-decoded +again:\n%s", gocmp.Diff(s, again, comparable))
	}
}
