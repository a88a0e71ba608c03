package handover

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tcp-proxy/internal/config"
)

// words are the fields that have words, by their names.
var words = map[string][]string{
	"Balance": balancers, "SendProxyProtocol": proxyHeaders, "When": probeTimes, "OnDead": onDead, "Network": networks[:2],
}

// random fills in every field of a value that it reaches, so that a field which a record leaves out is missed.
func random(r *rand.Rand, name string, v reflect.Value) {
	switch into := v.Addr().Interface().(type) {
	case *netip.Addr:
		*into = randomAddr(r)
		return
	case *netip.AddrPort:
		*into = netip.AddrPortFrom(randomAddr(r), uint16(r.Uint32()))
		return
	case *config.Networks:
		prefixes := make([]netip.Prefix, r.IntN(4))
		for i := range prefixes {
			prefixes[i], _ = randomAddr(r).Prefix(8 * r.IntN(5))
		}
		*into = config.NetworksOf(prefixes...)
		return
	case *[]int:
		return
	case *[]byte:
		if n := r.IntN(100); n > 50 {
			*into = bytes.Repeat([]byte{byte(n)}, n)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			random(r, v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			random(r, name, v.Index(i))
		}
	case reflect.String:
		v.SetString("text " + strconv.Itoa(r.IntN(1000)))
		if list := words[name]; list != nil {
			v.SetString(list[r.IntN(len(list))])
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int: // in the range of every limit, and as a weight
		v.SetInt(1 + r.Int64N(100))
	case reflect.Int64: // also a duration
		v.SetInt(1 + r.Int64N(int64(time.Hour)))
	default:
		v.SetUint(1 + r.Uint64()>>(65-v.Type().Bits()))
	}
}

func randomAddr(r *rand.Rand) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if r.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

// randomState is a state of random records, some places of which are free.
func randomState(r *rand.Rand) *State {
	s := &State{Header: Header{Boot: boot, Generation: r.Uint64(), Attempts: r.Uint32(), LastID: r.Uint64(), Clean: r.IntN(2) == 0}}
	s.Routes, s.Targets, s.Ports = randomPlaces[Route](r), randomPlaces[Target](r), randomPlaces[Port](r)
	pick := func(n int, used func(int) bool) int {
		for {
			if i := r.IntN(n); used(i) {
				return i
			}
		}
	}
	for i := range r.IntN(20) {
		var x Session
		random(r, "", reflect.ValueOf(&x).Elem())
		x.ID, x.Phase = uint64(i), AwaitsHeader+Phase(r.IntN(int(Relaying)))
		x.First, x.Finished, x.Broken = uint8(r.IntN(3)), uint8(r.IntN(4)), uint8(r.IntN(4))
		x.Route = pick(len(s.Routes), func(i int) bool { return s.Routes[i].used() })
		x.Port = pick(len(s.Ports), func(i int) bool { return s.Ports[i].used() })
		x.Target = pick(len(s.Targets), func(i int) bool { return s.Targets[i].used() })
		for n := range x.Side {
			x.Side[n].Cookie = uint64(1 + 2*i + n)
			x.Flow[n].Moved += x.Flow[n].Metered
		}
		for range r.IntN(4) {
			x.Tried = append(x.Tried, x.Target)
		}
		if x.Phase != Relaying {
			x.Target, x.Side[Server].Cookie = NoTarget, 0
		}
		if r.IntN(2) == 0 {
			x.HeaderSource, x.HeaderDestination = netip.AddrPort{}, netip.AddrPort{}
		}
		s.Sessions = append(s.Sessions, x)
	}
	return s
}

// randomPlaces are records, the last of which is not a free place.
func randomPlaces[T any, P recordOf[T]](r *rand.Rand) []T {
	list := make([]T, 1+r.IntN(5))
	for i := range list {
		if i == len(list)-1 || r.IntN(3) > 0 {
			random(r, "", reflect.ValueOf(&list[i]).Elem())
		}
	}
	return list
}

// Whatever is encoded is decoded the same, of this release's shape, and of a later one's.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range 200 {
		s := randomState(r)
		for _, as := range []shape{today, longer} {
			b, err := s.encode(&as)
			if err != nil {
				t.Fatalf("seed %d, state %d: %v", seed, i, err)
			}
			got, err := Decode(b, boot)
			if err != nil {
				t.Fatalf("seed %d, state %d: %v", seed, i, err)
			}
			if !reflect.DeepEqual(s, got) {
				t.Fatalf("seed %d, state %d: -encoded +decoded:\n%s", seed, i, gocmp.Diff(s, got, comparable))
			}
		}
	}
}

// The greatest values and every word that the configuration allows are carried as they are, and what is beyond is brought
// into range.
func TestPolicyIsCarriedUpToItsLimits(t *testing.T) {
	var r Route
	var x Target
	for _, c := range []struct {
		name string
		of   any
		put  func(*State)
		got  func(*State) any
	}{
		{"route", &r.Settings, func(s *State) { s.Routes = []Route{{App: "a", Settings: r.Settings}} }, func(s *State) any { return &s.Routes[0].Settings }},
		{"target", &x.Target, func(s *State) { s.Targets = []Target{{App: "a", Target: x.Target}} }, func(s *State) any { return &s.Targets[0].Target }},
	} {
		t.Run(c.name, func(t *testing.T) {
			checked := 0
			each(reflect.ValueOf(c.of).Elem(), func(path []int, f reflect.StructField, v reflect.Value) {
				for _, value := range extremes(t, f) {
					checked++
					reflect.ValueOf(c.of).Elem().SetZero()
					v.Set(reflect.ValueOf(value).Convert(v.Type()))
					s := empty()
					c.put(s)
					back := reflect.ValueOf(c.got(through(t, s))).Elem().FieldByIndex(path)
					if !back.Equal(v) {
						t.Errorf("%s: %v has become %v", f.Name, v, back)
					}
					if !v.CanInt() {
						continue
					}
					v.SetInt(v.Int() + 1)
					c.put(s)
					if back := reflect.ValueOf(c.got(through(t, s))).Elem().FieldByIndex(path); back.Int() != v.Int()-1 {
						t.Errorf("%s: %v, which is too much, has become %v", f.Name, v, back)
					}
				}
			})
			if checked < 2 {
				t.Errorf("only %d values have limits in their tags", checked)
			}
		})
	}
}

// through encodes and decodes a state.
func through(t testing.TB, s *State) *State {
	t.Helper()
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b, s.Boot)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// each visits the fields of a struct, and of those in it.
func each(v reflect.Value, visit func(path []int, f reflect.StructField, v reflect.Value)) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		if inner := v.FieldByIndex(f.Index); inner.Kind() == reflect.Struct && f.Tag.Get("max") == "" && inner.NumField() > 0 {
			each(inner, func(path []int, g reflect.StructField, v reflect.Value) { visit(slices.Concat(f.Index, path), g, v) })
			continue
		}
		visit(f.Index, f, v.FieldByIndex(f.Index))
	}
}

// extremes are the greatest value that the tags of a field allow, or all its words.
func extremes(t *testing.T, f reflect.StructField) (values []any) {
	t.Helper()
	if list := f.Tag.Get("enum"); list != "" {
		for word := range strings.SplitSeq(list, ",") {
			if word != "" {
				values = append(values, word)
			}
		}
		return values
	}
	most := f.Tag.Get("max")
	if most == "" || f.Type.Kind() != reflect.Int && f.Type.Kind() != reflect.Int64 {
		return nil
	}
	if d, err := time.ParseDuration(most); err == nil && f.Type == reflect.TypeFor[time.Duration]() {
		return []any{d}
	}
	n, err := strconv.ParseInt(most, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", f.Name, err)
	}
	return []any{n}
}

// What Encode refuses, with the part that is at fault.
func TestEncodeRefuses(t *testing.T) {
	for _, c := range []struct {
		fault  string
		change func(*State)
		want   string
	}{
		{"a route that is not there", func(s *State) { s.Sessions[1].Route = 1 }, "session 1: there is no such route"},
		{"a negative route", func(s *State) { s.Sessions[1].Route = -1 }, "session 1: there is no such route"},
		{"a port that is not there", func(s *State) { s.Sessions[1].Port = 3 }, "session 1: there is no such port"},
		{"a target that is not there", func(s *State) { s.Sessions[0].Target = 1 }, "session 0: there is no such target"},
		{"a word that is none", func(s *State) { s.Routes[0].Balance = "best" }, "routes, record 0: it has a word that cannot be written"},
		{"a zone in text", func(s *State) { s.Sessions[0].Peer = netip.MustParseAddrPort("[fe80::1%eth0]:1") }, "sessions, record 0: the address has a zone in text form"},
		{"a target that was tried and is not there", func(s *State) { s.Sessions[1].Tried = []int{0, 5} }, "session 1: there is no such target as it has tried"},
		{"a negative time", func(s *State) { s.Sessions[0].Begun = -1 }, "sessions, record 0: a time or a number of bytes is negative"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			s := full()
			c.change(s)
			if b, err := s.Encode(); err == nil || err.Error() != c.want || b != nil {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// Notes that this release does not understand are left out, each for itself.
func TestNotesAreTolerant(t *testing.T) {
	for _, c := range []struct {
		text   string
		want   Notes
		unread []string
	}{
		{``, Notes{}, nil},
		{`{"draining":true,"unknown":[{"x":1}],"process":{"n":2}}`, Notes{Draining: true, Process: map[string]uint64{"n": 2}}, nil},
		{`{"draining":"yes","process":{"n":2},"apps":[{"app":1}]}`, Notes{Process: map[string]uint64{"n": 2}}, []string{"apps", "draining"}},
		{`{"targets":[{"app":"a","name":"b","drained":true,"mood":"good"}]}`, Notes{Targets: []TargetNotes{{App: "a", Name: "b", Drained: true}}}, nil},
		{`{"log_level":null}`, Notes{}, nil},
		{`{"draining":true`, Notes{}, []string{"notes"}},
		{`[]`, Notes{}, []string{"notes"}},
	} {
		t.Run(c.text, func(t *testing.T) {
			var n Notes
			unread := n.read([]byte(c.text))
			slices.Sort(unread)
			if !reflect.DeepEqual(n, c.want) || !slices.Equal(unread, c.unread) {
				t.Errorf("%+v, not read: %q", n, unread)
			}
		})
	}
}

func TestParseBootID(t *testing.T) {
	const id = "3c5a5d4e-8e0c-4d3b-9d1f-0e527a11204f"
	if got, err := ParseBootID(id + "\n"); err != nil || got != boot {
		t.Errorf("%x, %v", got, err)
	}
	for _, bad := range []string{"", "\n", id[1:], id + "0", id + "\n\n", strings.ReplaceAll(id, "-", ""), strings.Replace(id, "c", "g", 1), strings.Replace(id, "-", "--", 1)} {
		if got, err := ParseBootID(bad); err == nil || got != (BootID{}) {
			t.Errorf("%q is %x", bad, got)
		}
	}
}

// The sessions of a busy proxy.
func many(n int) *State {
	s := full()
	one := s.Sessions[0]
	s.Sessions = nil
	for i := range n {
		x := one
		x.ID = uint64(i)
		x.Side[Client].Cookie, x.Side[Server].Cookie = uint64(2*i+1), uint64(2*i+2)
		x.Flow[Client].Pending, x.Flow[Server].Pending = nil, nil
		s.Sessions = append(s.Sessions, x)
	}
	return s
}

func Benchmark(b *testing.B) {
	const n = 5000
	s := many(n)
	encoded, err := s.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.Run(fmt.Sprintf("encode/%d", n), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Encode(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(encoded, boot); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ledger/session", func(b *testing.B) {
		l, _ := newLedger(b, Places{Routes: 1, Targets: 3, Ports: 1, Sessions: n, Text: 4096})
		setRecords(b, l, s)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := l.SetSession(i%n, &s.Sessions[i%n]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
