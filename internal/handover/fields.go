package handover

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tcp-proxy/internal/config"
)

// fields goes through the fields of a record in their order, and either writes or reads them: every method takes the value of
// a field, which it writes and returns, or returns what it has read instead. So the layout of a record is written down once.
type fields struct {
	record  []byte // of the size that this release writes
	at      int
	reading bool

	write    *textWriter // while writing
	read     *textReader // while reading
	contents []byte      // of the section of pending bytes, while reading
	held     []byte      // what is to go there, while writing
	attempts []byte      // the section of attempts while reading, and what is to go there while writing: 4 bytes each
	stride   int         // of attempts, while reading
	listed   uint64      // how many attempts were read so far
	lack     string      // the first thing that is wrong with the record; empty: nothing
	full     bool        // that there is no room for its text
}

// fail notes what is wrong with the record.
func (f *fields) fail(lack string) {
	if f.lack == "" {
		f.lack = lack
	}
}

// next is the place of the next field.
func (f *fields) next(size int) []byte {
	f.at += size
	return f.record[f.at-size : f.at]
}

func (f *fields) uint8(v uint8) uint8 {
	b := f.next(1)
	if f.reading {
		return b[0]
	}
	b[0] = v
	return v
}

func (f *fields) uint32(v uint32) uint32 {
	b := f.next(4)
	if f.reading {
		return binary.LittleEndian.Uint32(b)
	}
	binary.LittleEndian.PutUint32(b, v)
	return v
}

func (f *fields) uint64(v uint64) uint64 {
	b := f.next(8)
	if f.reading {
		return binary.LittleEndian.Uint64(b)
	}
	binary.LittleEndian.PutUint64(b, v)
	return v
}

func (f *fields) int64(v int64) int64 { return int64(f.uint64(uint64(v))) }

// amount is a number of bytes, or a time, which is not negative.
func (f *fields) amount(v int64) int64 {
	if v = f.int64(v); v < 0 {
		f.fail("a time or a number of bytes is negative")
	}
	return v
}

// limit is a value of the configuration, which goes up to most. One that is beyond is brought into range when it is read.
func (f *fields) limit(v int, most int64) int {
	n := f.int64(int64(v))
	if f.reading {
		return int(min(max(n, 0), most, math.MaxInt))
	}
	return v
}

// duration is limit for a duration.
func (f *fields) duration(v, most time.Duration) time.Duration {
	n := f.int64(int64(v))
	if f.reading {
		return min(max(time.Duration(n), 0), most)
	}
	return v
}

// flags are up to 16 bits.
func (f *fields) flags(bits ...*bool) {
	b := f.next(2)
	if f.reading {
		all := binary.LittleEndian.Uint16(b)
		for i, bit := range bits {
			*bit = all&(1<<i) != 0
		}
		return
	}
	all := uint16(0)
	for i, bit := range bits {
		if *bit {
			all |= 1 << i
		}
	}
	binary.LittleEndian.PutUint16(b, all)
}

// index is the index of another record; -1: none. Whether there is such a one is checked later.
func (f *fields) index(v int) int { return int(f.uint32(uint32(v+1))) - 1 }

// word is one of an enumeration. One that is not known when it is read is the first; an empty one is written as the first.
func (f *fields) word(v string, all []string) string {
	n := slices.Index(all, v)
	if n < 0 && v != "" {
		f.fail("it has a word that cannot be written")
	}
	n = int(f.uint8(uint8(max(n, 0))))
	if !f.reading {
		return v
	}
	if n >= len(all) {
		n = 0
	}
	return all[n]
}

// indices are indices of targets, in the section of attempts.
func (f *fields) indices(v []int) []int {
	if !f.reading {
		f.uint32(uint32(len(f.attempts) / attemptSize))
		f.uint32(uint32(len(v)))
		for _, n := range v {
			f.attempts = binary.LittleEndian.AppendUint32(f.attempts, uint32(n+1))
		}
		return v
	}
	first, n := uint64(f.uint32(0)), uint64(f.uint32(0))
	if n == 0 {
		return nil
	}
	all := uint64(len(f.attempts) / f.stride)
	if f.listed += n; first+n > all || f.listed > all { // lists that overlap take no more memory than the section
		f.fail("the targets that it has tried are not in the section of attempts")
		return nil
	}
	v = make([]int, n)
	for i := range v {
		v[i] = int(binary.LittleEndian.Uint32(f.attempts[(int(first)+i)*f.stride:])) - 1
	}
	return v
}

// string is a string of the text section.
func (f *fields) string(v string) string {
	if f.reading {
		return f.slice(f.uint32(0), f.uint32(0))
	}
	at, ok := f.write.add(v)
	if !ok {
		f.full = true
		f.fail("there is no room for its text")
	}
	f.uint32(at)
	f.uint32(uint32(len(v)))
	return v
}

// slice is a part of the text section.
func (f *fields) slice(at, length uint32) string {
	all := f.read.all
	if uint64(at)+uint64(length) > uint64(len(all)) {
		f.fail("a text is not in the section of text")
		return ""
	}
	return all[at : at+length]
}

// networks is a list of networks, separated by spaces.
func (f *fields) networks(v config.Networks) config.Networks {
	if !f.reading {
		words := []string(nil)
		for _, p := range v.Prefixes() {
			words = append(words, p.String())
		}
		f.string(strings.Join(words, " "))
		return v
	}
	list, ok := f.read.networks(f.string(""))
	if !ok {
		f.fail("a list of networks is none")
	}
	return list
}

// ip is an address in text form; the zero Addr is an empty text.
func (f *fields) ip(v netip.Addr) netip.Addr {
	if !f.reading {
		written := ""
		if v.IsValid() {
			written = v.String()
		}
		f.string(written)
		return v
	}
	read := f.string("")
	if read == "" {
		return netip.Addr{}
	}
	v, err := netip.ParseAddr(read)
	if err != nil {
		f.fail("an IP address is none")
	}
	return v
}

// addrPort is an address with a port, in text form. The address may be missing.
func (f *fields) addrPort(v netip.AddrPort) netip.AddrPort {
	ip := f.ip(v.Addr())
	return netip.AddrPortFrom(ip, uint16(f.uint32(uint32(v.Port()))))
}

// The kinds of a socket address.
const (
	noAddress = iota
	ipv4Address
	ipv6Address
)

// socketAddress is an address with a port and without a zone, in binary form.
func (f *fields) socketAddress(v netip.AddrPort) netip.AddrPort {
	if !f.reading {
		return f.putSocketAddress(v)
	}
	kind, raw := f.uint8(0), f.next(16)
	port := uint16(f.uint32(0))
	switch kind {
	case noAddress:
		return netip.AddrPort{}
	case ipv4Address:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[:4])), port)
	case ipv6Address:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(raw)), port)
	}
	f.fail("an address is neither IPv4 nor IPv6")
	return netip.AddrPort{}
}

func (f *fields) putSocketAddress(v netip.AddrPort) netip.AddrPort {
	kind, raw, port := uint8(noAddress), [16]byte{}, v.Port()
	switch ip := v.Addr(); {
	case ip.Is4():
		four := ip.As4()
		kind = ipv4Address
		copy(raw[:], four[:])
	case ip.Is6():
		kind, raw = ipv6Address, ip.As16()
	default:
		port = 0
	}
	if v.Addr().Zone() != "" {
		f.fail("the address has a zone in text form")
	}
	f.uint8(kind)
	copy(f.next(16), raw[:])
	f.uint32(uint32(port))
	return v
}

// bytes are raw bytes of the section of pending bytes, of which they remain a part when they are read.
func (f *fields) bytes(v []byte) []byte {
	if !f.reading {
		f.uint64(uint64(len(f.held)))
		f.uint64(uint64(len(v)))
		f.held = append(f.held, v...)
		return v
	}
	at, length := f.uint64(0), f.uint64(0)
	if length > uint64(len(f.contents)) || at > uint64(len(f.contents))-length {
		f.fail("its pending bytes are not in the section of pending bytes")
		return nil
	}
	if length == 0 {
		return nil
	}
	return f.contents[at : at+length : at+length]
}

// textWriter makes the text section. Equal strings are there once.
type textWriter struct {
	b     []byte
	at    map[string]uint32
	limit int // of the length in bytes
}

// add returns where a string is. It reports false if there is no room for it.
func (w *textWriter) add(s string) (uint32, bool) {
	if s == "" {
		return 0, true
	}
	if at, known := w.at[s]; known {
		return at, true
	}
	if len(s) > w.limit-len(w.b) {
		return 0, false
	}
	if w.at == nil {
		w.at = map[string]uint32{}
	}
	at := uint32(len(w.b))
	w.b = append(w.b, s...)
	w.at[strings.Clone(s)] = at
	return at, true
}

// textReader reads the text section.
type textReader struct {
	all    string
	lists  map[string]config.Networks // that were read before
	parsed int                        // bytes of lists
}

// networks parses a list of networks. It reports false if it is none, or if the lists of all records together are longer than
// the whole section: those that were written are there once.
func (r *textReader) networks(s string) (config.Networks, bool) {
	if s == "" {
		return config.Networks{}, true
	}
	if list, known := r.lists[s]; known {
		return list, true
	}
	if r.parsed += len(s); r.parsed > len(r.all) {
		return config.Networks{}, false
	}
	var prefixes []netip.Prefix
	for word := range strings.FieldsSeq(s) {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			return config.Networks{}, false
		}
		prefixes = append(prefixes, p)
	}
	list := config.NetworksOf(prefixes...)
	if r.lists == nil {
		r.lists = map[string]config.Networks{}
	}
	r.lists[s] = list
	return list, true
}
