package handover

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"tcp-proxy/internal/config"
)

// newLedger makes a ledger, and returns its memory.
func newLedger(t testing.TB, p Places) (*Ledger, []byte) {
	t.Helper()
	data := make([]byte, p.Size())
	l, err := NewLedger(data, Header{Boot: boot, Generation: 3, Attempts: 1, Clean: true}, p)
	if err != nil {
		t.Fatal(err)
	}
	return l, data
}

// setRecords writes what the sessions of a state need, as far as there is room.
func setRecords(t testing.TB, l *Ledger, s *State) {
	t.Helper()
	for i := range s.Routes {
		if err := l.SetRoute(i, s.Routes[i]); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	for i := range s.Targets {
		if err := l.SetTarget(i, s.Targets[i]); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	for i := range s.Ports {
		if err := l.SetPort(i, s.Ports[i]); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
}

// filled is a ledger with the records of full, and room for more.
func filled(t testing.TB) (*Ledger, []byte, *State) {
	t.Helper()
	l, data := newLedger(t, Places{Routes: 4, Targets: 4, Ports: 4, Sessions: 4, Text: 1024})
	s := full()
	setRecords(t, l, s)
	for i := range s.Sessions {
		if err := l.SetSession(1+i, &s.Sessions[i]); err != nil {
			t.Fatal(err)
		}
		s.Sessions[i].Flow[Client].Pending, s.Sessions[i].Flow[Server].Pending = nil, nil
		s.Sessions[i].Tried, s.Sessions[i].Failure = nil, ""
	}
	s.Header, s.Notes = Header{Boot: boot, Generation: 3, Attempts: 1}, Notes{}
	return l, data, s
}

func wantState(t *testing.T, data []byte, want *State) {
	t.Helper()
	got, err := Decode(data, boot)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(read(want), got, comparable); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A ledger is read as the state that was written into it, a record at a time, and it follows what is changed.
func TestLedger(t *testing.T) {
	l, data, want := filled(t)
	wantState(t, data, want)

	second := want.Sessions[1]
	if got, ok := l.Session(2); !ok || !reflect.DeepEqual(got, second) {
		t.Errorf("session at place 2: %+v, %v", got, ok)
	}
	l.FreeSession(1)
	if _, ok := l.Session(1); ok {
		t.Error("place 1 is not free")
	}
	l.SetBusy(2, true)
	second.Busy = true
	want.Sessions = []Session{second}
	wantState(t, data, want)

	l.SetBusy(2, false)
	second.Busy, second.Moved = false, second.Moved+1
	if err := l.SetSession(2, &second); err != nil {
		t.Fatal(err)
	}
	if err := l.SetTarget(0, Target{}); err != nil {
		t.Fatal(err)
	}
	want.Sessions, want.Targets[0] = []Session{second}, Target{}
	wantState(t, data, want)

	SetAttempts(data, 5)
	l.SetLastID(4800)
	want.LastID = 4800
	l.Seal()
	want.Attempts, want.Clean = 5, true
	wantState(t, data, want)
	SetAttempts(data, 6)
	want.Attempts = 6
	wantState(t, data, want)
}

// A writer that is killed at any byte of a record leaves the record before, the one after, or one that is not believed; and
// never anything between.
func TestTornRecords(t *testing.T) {
	l, data, want := filled(t)
	place := l.table.record(data, sessions, 1)
	before := slices.Clone(place)
	after := want.Sessions[0]
	after.ID, after.Until, after.Busy = 77, 0, true
	after.Flow[Client].Balance++
	if err := l.SetSession(1, &after); err != nil {
		t.Fatal(err)
	}
	written := slices.Clone(place)
	torn := 0
	for n := range len(place) + 1 {
		for _, forwards := range []bool{true, false} {
			if copy(place, before); forwards {
				copy(place[:n], written)
			} else {
				copy(place[n:], written[n:])
			}
			got, err := Decode(data, boot)
			if err != nil {
				t.Fatal(err)
			}
			switch first := got.Sessions[0]; {
			case got.Torn == 1 && len(got.Sessions) == 1 && first.ID == 4712:
				torn++
			case got.Torn != 0 || len(got.Sessions) != 2 || first.ID != 4711 && first.ID != 77:
				t.Fatalf("after %d bytes: %d sessions, %d torn, the first is %d", n, len(got.Sessions), got.Torn, first.ID)
			default:
				first.Busy = false
				expect := want.Sessions[0]
				if first.ID == 77 {
					expect = after
					expect.Busy = false
				}
				if !reflect.DeepEqual(first, expect) {
					t.Fatalf("after %d bytes: %+v", n, first)
				}
			}
		}
	}
	if torn < 20 {
		t.Errorf("the record was torn %d times only", torn)
	}
}

// A session whose route, port or target is torn is not believed either. The others are.
func TestSessionOfATornRecord(t *testing.T) {
	for _, k := range []kind{routes, targets, ports} {
		t.Run(names[k], func(t *testing.T) {
			l, data, want := filled(t)
			n := 0
			if k == targets {
				n = 2
			}
			l.table.record(data, k, n)[40]++
			got, err := Decode(data, boot)
			if err != nil {
				t.Fatal(err)
			}
			if got.Torn != 2 || len(got.Sessions) != 1 || got.Sessions[0].ID != want.Sessions[1].ID {
				t.Errorf("%d are torn, %d sessions are left", got.Torn, len(got.Sessions))
			}
			l.table.record(data, sessions, 2)[40]++
			if got, err := Decode(data, boot); err != nil || got.Torn != 3 || got.Sessions != nil {
				t.Errorf("with all sessions torn: %+v, %v", got, err)
			}
			l.Seal()
			wantKind(t, data, boot, Damaged)
		})
	}
}

// A ledger that is full says so, and keeps what it has.
func TestLedgerIsFull(t *testing.T) {
	l, data := newLedger(t, Places{Routes: 1, Targets: 1, Ports: 1, Sessions: 1, Text: 8})
	if err := l.SetRoute(0, Route{App: "12345678"}); err != nil {
		t.Fatal(err)
	}
	if err := l.SetPort(0, Port{App: "12345678"}); err != nil {
		t.Errorf("the same text again: %v", err)
	}
	for name, err := range map[string]error{
		"text":            l.SetRoute(0, Route{App: "123456789"}),
		"a place":         l.SetRoute(1, Route{App: "12345678"}),
		"no place":        l.SetTarget(-1, Target{}),
		"a session place": l.SetSession(1, &Session{ID: 1, Phase: Waiting, Target: NoTarget, Side: [2]Side{{Cookie: 1}, {}}}),
	} {
		if !errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.SetRoute(0, Route{App: "12345678", Settings: config.Settings{Balance: "best"}}); err == nil || errors.Is(err, ErrFull) {
		t.Errorf("a word that is none: %v", err)
	}
	if err := l.SetSession(0, &Session{ID: 1, Phase: Waiting, Port: 5, Target: NoTarget}); err == nil || errors.Is(err, ErrFull) {
		t.Errorf("a port that is not there: %v", err)
	}
	got, err := Decode(data, boot)
	if err != nil || len(got.Routes) != 1 || got.Routes[0].App != "12345678" || got.Torn != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLedgerThatCannotBe(t *testing.T) {
	p := Places{Sessions: 1}
	for name, c := range map[string]struct {
		size   int
		places Places
	}{
		"too little memory": {p.Size() - 1, p},
		"negative":          {1 << 20, Places{Ports: -1}},
		"too many":          {1 << 20, Places{Sessions: 1<<30 + 1}},
	} {
		if _, err := NewLedger(make([]byte, c.size), Header{}, c.places); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Keeping a session up to date allocates nothing.
func TestSetSessionDoesNotAllocate(t *testing.T) {
	l, _, s := filled(t)
	if n := testing.AllocsPerRun(100, func() {
		l.SetBusy(1, true)
		if err := l.SetSession(1, &s.Sessions[0]); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
