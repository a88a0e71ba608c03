package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// SessionsVersion is the version of the JSON of Sessions. It changes as SnapshotVersion does.
const SessionsVersion = 1

// How many sessions a list has: unless asked otherwise, and at most.
const (
	DefaultSessions = 100
	MaxSessions     = 1000
)

// sessionsTimeout is how long the engine has to list sessions, or to find one.
const sessionsTimeout = 2 * time.Second

// ErrNoSession is the error of CloseSession for a session that is not open.
var ErrNoSession = relay.ErrNoSession

// Sessions is a list of open sessions. It shares nothing with the server. Its JSON is the body of /api/v1/sessions.
type Sessions struct {
	Version  int       `json:"version"`
	Taken    time.Time `json:"taken"`
	Open     int       `json:"open"`              // open sessions
	Matching int       `json:"matching"`          // those of them that match the query
	LeftOut  int       `json:"left_out"`          // those of them that are not in the list
	Problem  string    `json:"problem,omitempty"` // why sessions are missing in all of these; empty: none are
	MayClose bool      `json:"may_close"`         // whether the client of this answer may close sessions
	Sessions []Session `json:"sessions"`          // the longest open first
}

// Session is an open session.
type Session struct {
	ID       uint64         `json:"id"` // as in its record in the log; never used again by the same process
	State    relay.Progress `json:"state"`
	App      string         `json:"app"`
	Port     string         `json:"port"`
	Address  string         `json:"port_address,omitempty"` // where the port listens, if systemd has made its socket
	Client   string         `json:"client"`                 // as in its record
	Peer     string         `json:"peer,omitempty"`         // who has connected, if that is another
	Target   string         `json:"target,omitempty"`       // it is connected to, or that is being tried; empty: none
	Started  time.Time      `json:"started"`                // accepted
	Age      float64        `json:"age_seconds"`
	Idle     *float64       `json:"idle_seconds,omitempty"` // since a byte was relayed, or else since the target was connected; nil: it is not yet
	Upload   int64          `json:"bytes_upload"`
	Download int64          `json:"bytes_download"`
}

// SessionQuery says which open sessions are listed. The zero value of a field selects all.
type SessionQuery struct {
	App    string
	Target string         // its name, or its address in the configuration
	Client ClientPattern  // the client, as the record has it
	State  relay.Progress // how far it has come
	Words  []string       // each is part of the ID, state, app, port, client or target; case does not matter
	Limit  int            // 0: DefaultSessions; more than MaxSessions is MaxSessions
}

// Sessions lists open sessions.
func (s *Server) Sessions(ctx context.Context, q SessionQuery) Sessions {
	ctx, cancel := context.WithTimeout(ctx, sessionsTimeout)
	defer cancel()
	of := relay.Selection{Limit: DefaultSessions}
	if q.Limit > 0 {
		of.Limit = min(q.Limit, MaxSessions)
	}
	if !q.selectsAll() {
		of.Match = q.compile()
	}
	found := s.engine.Sessions(ctx, of)
	list := Sessions{
		Version: SessionsVersion, Taken: time.Now(), Open: found.Open, Matching: found.Matching,
		LeftOut: found.Matching - len(found.Oldest), Sessions: make([]Session, len(found.Oldest)),
	}
	if found.Missing > 0 {
		list.Problem = fmt.Sprintf("%d of %d event loops did not answer within %v: their sessions are missing here", found.Missing, found.Loops, sessionsTimeout)
	}
	for i := range found.Oldest {
		list.Sessions[i] = describeSession(&found.Oldest[i], list.Taken)
	}
	return list
}

// CloseSession resets an open session on both sides, with the cause relay.OperatorReset. The error is ErrNoSession if there is
// none with that ID.
func (s *Server) CloseSession(ctx context.Context, id uint64) error {
	ctx, cancel := context.WithTimeout(ctx, sessionsTimeout)
	defer cancel()
	if err := s.engine.EndSession(ctx, id, relay.OperatorReset); err != nil {
		return fmt.Errorf("session %d: %w", id, err)
	}
	return nil
}

// describeSession returns the description of an open session at a time.
func describeSession(s *relay.OpenSession, now time.Time) Session {
	d := Session{
		ID: s.ID, State: s.Progress, App: s.Route.App, Port: s.Port.Name(), Client: clientName(s.Client), Target: targetName(s.Target),
		Started: s.Begun.Round(0), Age: since(s.Begun, now), Upload: s.Upload, Download: s.Download,
	}
	if s.Port.Inherited {
		d.Address = s.Port.Address()
	}
	if s.Peer != s.Client {
		d.Peer = clientName(s.Peer)
	}
	if !s.Moved.IsZero() {
		idle := since(s.Moved, now)
		d.Idle = &idle
	}
	return d
}

// since is how long ago a time was, in seconds, to the millisecond.
func since(at, now time.Time) float64 {
	return max(0, now.Sub(at).Round(time.Millisecond).Seconds())
}

// clientName is how a record names a client.
func clientName(a netip.AddrPort) string {
	if !a.IsValid() {
		return "unix:"
	}
	return a.String()
}

func targetName(t *upstream.Target) string {
	if t == nil {
		return ""
	}
	return t.Name
}

// selectsAll reports whether every session matches.
func (q *SessionQuery) selectsAll() bool {
	return q.App == "" && q.Target == "" && q.Client.matches == nil && q.State == "" && len(q.Words) == 0
}

// compile returns the function that decides whether a session matches. It does not allocate for names of usual length.
func (q *SessionQuery) compile() func(*relay.OpenSession) bool {
	words := make([][]byte, len(q.Words))
	for i, word := range q.Words {
		words[i] = lower([]byte(word))
	}
	return func(s *relay.OpenSession) bool {
		switch {
		case q.App != "" && s.Route.App != q.App,
			q.State != "" && s.Progress != q.State,
			q.Target != "" && !isTarget(s.Target, q.Target),
			q.Client.matches != nil && !q.Client.matches(s.Client):
			return false
		}
		return len(words) == 0 || hasWords(s, words)
	}
}

// isTarget reports whether a target is meant by a name: its own, or its address in the configuration.
func isTarget(t *upstream.Target, name string) bool {
	if t == nil || t.Name == name {
		return t != nil
	}
	rest, found := strings.CutPrefix(t.Name, name)
	return found && t.Path == "" && strings.HasPrefix(rest, "/")
}

// hasWords reports whether each of the words, in lower case, is part of what a session shows.
func hasWords(s *relay.OpenSession, words [][]byte) bool {
	var space [512]byte
	text := strconv.AppendUint(space[:0], s.ID, 10)
	for _, part := range []string{string(s.Progress), s.Route.App, s.Port.String(), targetName(s.Target)} {
		text = append(append(text, ' '), part...)
	}
	text = append(text, ' ')
	if s.Client.IsValid() {
		text = s.Client.AppendTo(text)
	} else {
		text = append(text, "unix:"...)
	}
	text = lower(text)
	for _, word := range words {
		if !bytes.Contains(text, word) {
			return false
		}
	}
	return true
}

// lower changes the letters A to Z of a text to lower case, in place.
func lower(text []byte) []byte {
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			text[i] = c + 'a' - 'A'
		}
	}
	return text
}

// ClientPattern is which clients are meant. The zero value means all.
type ClientPattern struct{ matches func(netip.AddrPort) bool }

// ParseClientPattern reads an IP address, an address with a port, a network such as 10.0.0.0/8, or "unix:", which means the
// clients of unix sockets. An IPv4-mapped IPv6 address counts as the IPv4 address, and zones do not matter.
func ParseClientPattern(text string) (ClientPattern, error) {
	plain := func(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
	if text == "unix:" {
		return ClientPattern{func(c netip.AddrPort) bool { return !c.IsValid() }}, nil
	}
	if network, err := netip.ParsePrefix(text); err == nil {
		return ClientPattern{func(c netip.AddrPort) bool { return network.Contains(plain(c.Addr())) }}, nil
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return ClientPattern{func(c netip.AddrPort) bool { return c.IsValid() && plain(c.Addr()) == plain(address) }}, nil
	}
	if one, err := netip.ParseAddrPort(text); err == nil {
		return ClientPattern{func(c netip.AddrPort) bool { return c.Port() == one.Port() && plain(c.Addr()) == plain(one.Addr()) }}, nil
	}
	return ClientPattern{}, fmt.Errorf("%q is no client: write an IP address, an address with its port, a network such as 10.0.0.0/8, or \"unix:\"", text)
}
