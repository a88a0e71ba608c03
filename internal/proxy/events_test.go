package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// noisy is a server whose log the test reads when it is over.
type noisy struct {
	*testing.T
	*Server
	targets []*upstream.Target
	text    bytes.Buffer
	closed  bool
}

func newNoisy(t *testing.T, level string) *noisy {
	t.Helper()
	n := &noisy{T: t}
	log, err := logging.New(&n.text, config.Log{Level: level, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	n.Server = &Server{log: log}
	n.oneIn.Store(1)
	var configs []config.Target
	for i := range 2000 {
		configs = append(configs, config.Target{Address: config.Address{Network: "unix", Path: fmt.Sprintf("/t/%d", i)}, Weight: 1})
	}
	n.targets = upstream.NewSet(configs, upstream.Policy{Retry: time.Hour}, nil).All()
	return n
}

// line is an entry of the log.
type line struct {
	Level   string `json:"level"`
	Message string `json:"msg"`
	App     string `json:"app"`
	Target  string `json:"target"`
	Cause   string `json:"cause"`
	LeftOut int    `json:"left_out"`
}

// lines ends the log and gives what was written that contains a text.
func (n *noisy) lines(text string) (found []line) {
	n.Helper()
	if !n.closed {
		n.closed = true
		if err := n.log.Close(); err != nil {
			n.Fatal(err)
		}
	}
	for raw := range strings.Lines(n.text.String()) {
		var l line
		if err := json.Unmarshal([]byte(raw), &l); err != nil {
			n.Fatalf("%v: %s", err, raw)
		}
		if strings.Contains(raw, text) {
			found = append(found, l)
		}
	}
	return found
}

// A thousand targets that cannot be reached take no place of warnings about something else, in the log or in events.
func TestNoiseOfOneKindHidesNoOther(t *testing.T) { synctest.Test(t, noiseOfOneKind) }

func noiseOfOneKind(t *testing.T) {
	n := newNoisy(t, "info")
	n.history.note(Event{Kind: EventReloadRefused, Text: "reload refused"})
	why := errors.New("no route to host")
	for round := range 3 {
		for _, x := range n.targets {
			n.log.Throttled(failures, "web "+x.Name, logging.Debug, "connect to target failed again", nil) // what connectFailed says
			if round == 0 {
				n.targetDead("web", x, why)
			}
		}
	}
	n.refused(&relay.Record{App: "mail", Client: "10.0.0.1:5", Refused: admit.Denied})
	n.poolFull(50)
	n.targetDead("mail", n.targets[7], why)
	for _, want := range []string{"clients are refused", "all workers are busy", `"app":"mail","error"`} {
		if len(n.lines(want)) != 1 {
			t.Errorf("%s: logged %d times", want, len(n.lines(want)))
		}
	}
	if got := len(n.lines("target is dead")); got != len(n.targets)+1 { // told in the end, each of them
		t.Errorf("%d dead targets are logged", got)
	}
	kinds := map[string]int{}
	for _, e := range n.history.read() {
		kinds[e.Kind+" "+e.App]++
	}
	for _, want := range []string{EventReloadRefused + " ", EventRefusals + " mail", EventPoolFull + " ", EventTargetDead + " mail"} {
		if kinds[want] != 1 {
			t.Errorf("%d events of %s", kinds[want], want)
		}
	}
}

// A target that flaps is logged so often and no more; which state was its last is told, and how often it changed. So is
// a name.
func TestFlapping(t *testing.T) { synctest.Test(t, flapping) }

func flapping(t *testing.T) {
	n := newNoisy(t, "info")
	const flaps = 1000
	a, b := n.targets[0], n.targets[1]
	name := config.Address{Network: "tcp", Host: "web.internal", Port: 80}
	why := errors.New("no route to host")
	for range flaps {
		n.targetDead("web", a, why)
		n.nameChanged(name, why, time.Now())
		n.targetAlive("web", a, "so")
		n.nameChanged(name, nil, time.Now())
	}
	n.targetDead("web", a, why)
	n.targetDead("web", b, why)
	n.nameChanged(name, why, time.Now())
	for what, begin := range map[string]string{a.Name: "target is ", name.String(): "name lookup "} {
		lines := n.lines(what)
		told := 0
		for _, l := range lines {
			if !strings.HasPrefix(l.Message, begin) {
				t.Errorf("%s: %+v", what, l)
			}
			told += 1 + l.LeftOut
		}
		if len(lines) != targetState.Burst+1 || told != 2*flaps+1 || lines[len(lines)-1].Level != "warning" {
			t.Errorf("%s: %d lines tell of %d changes: %+v", what, len(lines), told, lines)
		}
	}
	if lines := n.lines(b.Name); len(lines) != 1 {
		t.Errorf("the target that died once: %+v", lines)
	}
}

// Sessions that end badly have a record up to a rate; of more, one has that counts them. No cause and no app hides another.
func TestRecordsOfBadEnds(t *testing.T) {
	for _, level := range []string{"info", "debug"} {
		synctest.Test(t, func(t *testing.T) { recordsOfBadEnds(t, level) })
	}
}

func recordsOfBadEnds(t *testing.T, level string) {
	n := newNoisy(t, level)
	const many = 2000
	reset := errors.New("connection reset by peer")
	for range many {
		n.ended(&relay.Record{App: "web", Upload: 1, Cause: relay.TargetReset, Err: reset})
	}
	for range 3 {
		n.ended(&relay.Record{App: "web", Upload: 1, Cause: relay.IdleTimeout, Err: reset})
		n.ended(&relay.Record{App: "mail", Upload: 1, Cause: relay.TargetReset, Err: reset})
		n.ended(&relay.Record{App: "web", Upload: 1, Cause: relay.ClientClosed})
	}
	told, lines := 0, 0
	for _, l := range n.lines("session ended") {
		if l.App == "web" && l.Cause == string(relay.TargetReset) {
			lines++
			told += 1 + l.LeftOut
		}
	}
	want := map[string]int{"info": badEnds.Burst + 1, "debug": many}[level]
	if told != many || lines != want {
		t.Errorf("%s: %d lines tell of %d sessions", level, lines, told)
	}
	for _, want := range []string{string(relay.IdleTimeout), `"app":"mail"`, string(relay.ClientClosed)} {
		if got := len(n.lines(want)); got != 3 && got != 6 { // the cause stands in the message, too
			t.Errorf("%s: %d records of %s", level, got, want)
		}
	}
}

func BenchmarkRecordOfABadEnd(b *testing.B) {
	log, err := logging.New(&bytes.Buffer{}, config.Log{Level: "info", Format: "json"})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	s := &Server{log: log}
	s.oneIn.Store(1)
	r := &relay.Record{App: "web", Port: "5001", Client: "10.1.2.3:45678", Target: "10.0.0.1:80", Attempts: 1, Upload: 1,
		Cause: relay.TargetReset, Err: errors.New("connection reset by peer")}
	b.ReportAllocs()
	for b.Loop() {
		s.ended(r)
	}
}
