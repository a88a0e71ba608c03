package handover

import (
	"encoding/binary"
	"hash/crc32"
)

// magic begins every state, of whatever major. It is not UTF-8, and the line feed shows whether anything has changed line ends.
const magic = "\x8ftcpPRX\n"

// The fields of the header by their offsets.
const (
	atMajor      = 8
	atHeaderSize = 12
	atBoot       = 16
	atGeneration = 32
	atAttempts   = 40
	atFlags      = 44
	atLength     = 48
	atChecksum   = 56
	atEntrySize  = 60
	atEntries    = 64
	atLastID     = 72

	headerSize = 80
	entrySize  = 24
)

const flagClean = 1

// kind is a kind of section.
type kind uint32

const (
	routes kind = 1 + iota
	targets
	ports
	sessions
	pending
	text
	notes
	attempts

	kinds
)

// names are the kinds as errors name them.
var names = [kinds]string{
	routes: "routes", targets: "targets", ports: "ports", sessions: "sessions", pending: "pending bytes", text: "text", notes: "notes", attempts: "attempts",
}

// section is where a section is. The zero value is one that is not there.
type section struct {
	offset, length int
	size           int // of a record; at least 1 if the section is there
}

// count is how many records the section has.
func (s section) count() int {
	if s.size == 0 {
		return 0
	}
	return s.length / s.size
}

// sections are the sections by their kinds.
type sections [kinds]section

func (s *sections) bytes(b []byte, k kind) []byte { return b[s[k].offset : s[k].offset+s[k].length] }

// record is the place of record n, which there is.
func (s *sections) record(b []byte, k kind, n int) []byte {
	at := s[k].offset + n*s[k].size
	return b[at : at+s[k].size : at+s[k].size]
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is that of all of b, of which the header is complete.
func checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:atAttempts])
	sum = crc32.Update(sum, castagnoli, b[atLength:atChecksum])
	return crc32.Update(sum, castagnoli, b[atEntrySize:])
}

// seal makes b, which is a complete state, clean.
func seal(b []byte) {
	binary.LittleEndian.PutUint32(b[atChecksum:], checksum(b))
	b[atFlags] |= flagClean
}

// ReadHeader reads the header of a state, and checks that it is one of this start of the machine and of this format. It does
// not check the rest.
func ReadHeader(b []byte, boot BootID) (Header, error) {
	var h Header
	switch {
	case len(b) < atHeaderSize || string(b[:len(magic)]) != magic:
		return h, fault(NotAState, "the stored data is not the state of a proxy")
	case binary.LittleEndian.Uint32(b[atMajor:]) != Major:
		return h, fault(UnknownFormat, "the stored state has format %d, and this release reads only format %d", binary.LittleEndian.Uint32(b[atMajor:]), Major)
	case len(b) < headerSize:
		return h, fault(Damaged, "the stored state ends in its header, after %d bytes", len(b))
	}
	copy(h.Boot[:], b[atBoot:])
	h.Generation = binary.LittleEndian.Uint64(b[atGeneration:])
	h.LastID = binary.LittleEndian.Uint64(b[atLastID:])
	h.Attempts = binary.LittleEndian.Uint32(b[atAttempts:])
	h.Clean = binary.LittleEndian.Uint32(b[atFlags:])&flagClean != 0
	if h.Boot != boot {
		return h, fault(OtherBoot, "the stored state is from before the machine was started")
	}
	return h, nil
}

// SetAttempts writes in place how many processes have tried to take over the state. A process counts itself before it begins,
// so that a state which kills every process that reads it is recognised. b was accepted by ReadHeader.
func SetAttempts(b []byte, n uint32) { binary.LittleEndian.PutUint32(b[atAttempts:], n) }

// parse reads the header and the table, and returns the state without what is behind it.
func parse(b []byte, boot BootID) (Header, []byte, *sections, error) {
	h, err := ReadHeader(b, boot)
	if err != nil {
		return h, nil, nil, err
	}
	length := binary.LittleEndian.Uint64(b[atLength:])
	if length > uint64(len(b)) {
		return h, nil, nil, fault(Damaged, "the stored state has %d bytes and should have %d", len(b), length)
	}
	if length < headerSize {
		return h, nil, nil, fault(Damaged, "the length in the header of the stored state is only %d bytes", length)
	}
	b = b[:length]
	if h.Clean && checksum(b) != binary.LittleEndian.Uint32(b[atChecksum:]) {
		return h, nil, nil, fault(WrongChecksum, "the stored state has changed since it was written: its checksum is wrong")
	}
	table, err := parseTable(b)
	return h, b, table, err
}

// parseTable reads the table of sections.
func parseTable(b []byte) (*sections, error) {
	begin, size, n := uint64(binary.LittleEndian.Uint32(b[atHeaderSize:])), uint64(binary.LittleEndian.Uint32(b[atEntrySize:])), uint64(binary.LittleEndian.Uint32(b[atEntries:]))
	length := uint64(len(b))
	if begin < headerSize || begin > length || size < entrySize || n > (length-begin)/size {
		return nil, fault(Damaged, "the table of sections of the stored state does not fit into it")
	}
	var found sections
	for i := range n {
		entry := b[begin+i*size:]
		k := kind(binary.LittleEndian.Uint32(entry))
		if k == 0 || k >= kinds {
			continue
		}
		x, err := parseEntry(entry, k, length)
		if err != nil {
			return nil, err
		}
		if found[k].size != 0 {
			return nil, fault(Damaged, "the stored state has two sections of %s", names[k])
		}
		found[k] = x
	}
	return &found, nil
}

// parseEntry reads an entry of the table in a state of that length.
func parseEntry(entry []byte, k kind, length uint64) (section, error) {
	size := uint64(binary.LittleEndian.Uint32(entry[4:]))
	offset, extent := binary.LittleEndian.Uint64(entry[8:]), binary.LittleEndian.Uint64(entry[16:])
	least := uint64(sizes[k])
	if k < pending {
		least = recordHead
	}
	switch {
	case offset > length || extent > length-offset:
		return section{}, fault(Damaged, "the section of %s in the stored state goes beyond its end", names[k])
	case size < least || sizes[k] == 1 && size != 1 || extent%size != 0:
		return section{}, fault(Damaged, "the section of %s in the stored state cannot have records of %d bytes", names[k], size)
	}
	return section{int(offset), int(extent), int(size)}, nil
}

// appendHeader appends a header of a size, and a table of the sections with entries of a size. The length and the checksum
// are still to come.
func appendHeader(b []byte, h *Header, size, entry int) []byte {
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, Major)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = append(b, h.Boot[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.Generation)
	b = binary.LittleEndian.AppendUint32(b, h.Attempts)
	b = append(b, make([]byte, 16)...) // flags, length and checksum
	b = binary.LittleEndian.AppendUint32(b, uint32(entry))
	b = binary.LittleEndian.AppendUint32(b, uint32(kinds-1))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, h.LastID)
	return append(b, make([]byte, size-len(b)+int(kinds-1)*entry)...)
}

// putTable fills in the table and the length.
func putTable(b []byte, of *sections, length int) {
	begin, size := int(binary.LittleEndian.Uint32(b[atHeaderSize:])), int(binary.LittleEndian.Uint32(b[atEntrySize:]))
	for k := routes; k < kinds; k++ {
		entry := b[begin+int(k-1)*size:]
		binary.LittleEndian.PutUint32(entry, uint32(k))
		binary.LittleEndian.PutUint32(entry[4:], uint32(of[k].size))
		binary.LittleEndian.PutUint64(entry[8:], uint64(of[k].offset))
		binary.LittleEndian.PutUint64(entry[16:], uint64(of[k].length))
	}
	binary.LittleEndian.PutUint64(b[atLength:], uint64(length))
}
