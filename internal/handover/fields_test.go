package handover

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"tcp-proxy/internal/config"
)

// A place in another section is believed only if it is there, whatever its numbers add up to.
func TestReferences(t *testing.T) {
	const there = 10
	for _, c := range []struct {
		at, length uint64
		ok         bool
	}{
		{0, there, true}, {there, 0, true}, {there - 1, 1, true},
		{0, there + 1, false}, {1, there, false}, {there + 1, 0, false},
		{math.MaxUint32, math.MaxUint32, false}, {math.MaxUint32, 2, false}, {math.MaxUint64, 1, false}, {math.MaxUint64, math.MaxUint64, false},
		{1, math.MaxUint64, false},
	} {
		raw := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, c.at), c.length)
		f := fields{reading: true, record: raw, contents: make([]byte, there)}
		if b := f.bytes(nil); f.lack == "" != c.ok || len(b) != int(c.length) && c.ok {
			t.Errorf("bytes at %d, %d of them: %v, %q", c.at, c.length, b, f.lack)
		}
		if c.at > math.MaxUint32 || c.length > math.MaxUint32 {
			continue
		}
		raw = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(c.at)), uint32(c.length))
		f = fields{reading: true, record: raw, attempts: make([]byte, there*6), stride: 6}
		if n := f.indices(nil); c.length > 0 && f.lack == "" != c.ok || len(n) != int(c.length) && c.ok {
			t.Errorf("attempts at %d, %d of them: %v, %q", c.at, c.length, n, f.lack)
		}
		f = fields{reading: true, record: raw, read: &textReader{all: strings.Repeat("x", there)}}
		if s := f.string(""); f.lack == "" != c.ok || len(s) != int(c.length) && c.ok {
			t.Errorf("text at %d, %d bytes of it: %q, %q", c.at, c.length, s, f.lack)
		}
	}
}

// A word of a later release is the first one of this.
func TestUnknownWord(t *testing.T) {
	for n := range 256 {
		f := fields{reading: true, record: []byte{byte(n)}}
		want := balancers[0]
		if n < len(balancers) {
			want = balancers[n]
		}
		if got := f.word("", balancers); got != want || f.lack != "" {
			t.Errorf("%d is %q, %q", n, got, f.lack)
		}
	}
}

// Text that is no address and no network is refused.
func TestTextThatIsNoAddress(t *testing.T) {
	for _, bad := range []string{"1.2.3", "localhost", "10.0.0.0/33", " ", "1.2.3.4,"} {
		all := &textReader{all: bad}
		raw := binary.LittleEndian.AppendUint32([]byte{0, 0, 0, 0}, uint32(len(bad)))
		f := fields{reading: true, record: raw, read: all}
		if f.ip(netip.Addr{}); f.lack == "" {
			t.Errorf("%q is an address", bad)
		}
		f = fields{reading: true, record: raw, read: all}
		if f.networks(config.Networks{}); f.lack == "" && strings.TrimSpace(bad) != "" {
			t.Errorf("%q is a network", bad)
		}
	}
}

// What a record lacks is zero, whatever was read before it.
func TestShortRecord(t *testing.T) {
	place := make([]byte, sizes[sessions])
	f := fields{write: &textWriter{}}
	x := full().Sessions[0]
	writeRecord(&f, place, &x)
	f = fields{reading: true, read: &textReader{}}
	var got Session
	readRecord(&f, place[:recordHead], bytes.Repeat([]byte{0xff}, sizes[sessions]), &got)
	if want := (Session{Busy: x.Busy, Route: -1, Port: -1, Target: NoTarget, ID: got.ID}); f.lack != "" || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %q", got, f.lack)
	}
}

// A target without a weight has the least: balancers divide by it.
func TestWeightIsNeverZero(t *testing.T) {
	s := empty()
	s.Targets = []Target{{App: "a"}}
	if got := through(t, s).Targets[0].Weight; got != 1 {
		t.Errorf("weight %d", got)
	}
}
