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
	"tcp-proxy/internal/resolve"
	"tcp-proxy/internal/upstream"
)

// logged is a server whose log the test reads at the end.
type logged struct {
	*testing.T
	*Server
	targets []*upstream.Target
	text    bytes.Buffer
	closed  bool
}

func newLogged(t *testing.T, level string) *logged {
	t.Helper()
	n := &logged{T: t}
	log, err := logging.New(&n.text, config.Log{Level: level, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	n.Server = &Server{log: log}
	n.recordOneIn.Store(1)
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

// lines closes the log and returns its entries that contain a text.
func (n *logged) lines(text string) (found []line) {
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

// Entries about a thousand unreachable targets displace no other warnings, in the log or in the events.
func TestRepeatedEntriesHideNoOthers(t *testing.T) { synctest.Test(t, repeatedEntriesHideNoOthers) }

func repeatedEntriesHideNoOthers(t *testing.T) {
	n := newLogged(t, "info")
	n.history.note(Event{Kind: EventReloadRefused, Text: "reload refused"})
	why := errors.New("no route to host")
	for round := range 3 {
		for _, x := range n.targets {
			n.log.Throttled(failures, "web "+x.Name, logging.Debug, "connect to target failed again", nil) // as connectFailed does
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
	if got := len(n.lines("target is dead")); got != len(n.targets)+1 { // each of them, in the end
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

// The log has a limited number of entries about a target or a name that flaps, and in the end its last state and the
// number of changes left out.
func TestFlapping(t *testing.T) { synctest.Test(t, flapping) }

func flapping(t *testing.T) {
	n := newLogged(t, "info")
	const flaps = 1000
	a, b := n.targets[0], n.targets[1]
	name := config.Address{Network: "tcp", Host: "web.internal", Port: 80}
	why := errors.New("no route to host")
	for range flaps {
		n.targetDead("web", a, why)
		n.nameChanged(resolve.Answer{Name: name, Err: why, Since: time.Now()})
		n.targetAlive("web", a, "so")
		n.nameChanged(resolve.Answer{Name: name, Since: time.Now()})
	}
	n.targetDead("web", a, why)
	n.targetDead("web", b, why)
	n.nameChanged(resolve.Answer{Name: name, Err: why, Since: time.Now()})
	for what, begin := range map[string]string{a.Name: "target is ", name.String(): "name lookup "} {
		lines := n.lines(what)
		reported := 0
		for _, l := range lines {
			if !strings.HasPrefix(l.Message, begin) {
				t.Errorf("%s: %+v", what, l)
			}
			reported += 1 + l.LeftOut
		}
		if len(lines) != targetState.Burst+1 || reported != 2*flaps+1 || lines[len(lines)-1].Level != "warning" {
			t.Errorf("%s: %d lines count %d changes: %+v", what, len(lines), reported, lines)
		}
	}
	if lines := n.lines(b.Name); len(lines) != 1 {
		t.Errorf("the target that died once: %+v", lines)
	}
}

// Sessions that end badly are logged up to a limit; one more entry counts the rest. The limits of causes and apps are
// separate.
func TestRecordsOfFailedSessionsAreLimited(t *testing.T) {
	for _, level := range []string{"info", "debug"} {
		synctest.Test(t, func(t *testing.T) { recordsOfFailedSessionsAreLimited(t, level) })
	}
}

func recordsOfFailedSessionsAreLimited(t *testing.T, level string) {
	n := newLogged(t, level)
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
	reported, lines := 0, 0
	for _, l := range n.lines("session ended") {
		if l.App == "web" && l.Cause == string(relay.TargetReset) {
			lines++
			reported += 1 + l.LeftOut
		}
	}
	want := map[string]int{"info": failedSessions.Burst + 1, "debug": many}[level]
	if reported != many || lines != want {
		t.Errorf("%s: %d lines count %d sessions", level, lines, reported)
	}
	for _, want := range []string{string(relay.IdleTimeout), `"app":"mail"`, string(relay.ClientClosed)} {
		if got := len(n.lines(want)); got != 3 && got != 6 { // the message contains the cause too
			t.Errorf("%s: %d records of %s", level, got, want)
		}
	}
}

func BenchmarkRecordOfFailedSession(b *testing.B) {
	log, err := logging.New(&bytes.Buffer{}, config.Log{Level: "info", Format: "json"})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	s := &Server{log: log}
	s.recordOneIn.Store(1)
	r := &relay.Record{App: "web", Port: "5001", Client: "10.1.2.3:45678", Target: "10.0.0.1:80", Attempts: 1, Upload: 1,
		Cause: relay.TargetReset, Err: errors.New("connection reset by peer")}
	b.ReportAllocs()
	for b.Loop() {
		s.ended(r)
	}
}
