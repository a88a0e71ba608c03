package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// sessionList is the answer of /api/v1/sessions.
type sessionList struct {
	Version  int
	Open     int
	Matching int
	LeftOut  int `json:"left_out"`
	Problem  string
	MayClose bool `json:"may_close"`
	Sessions []struct {
		ID                   uint64
		State, App, Port     string
		Client, Peer, Target string
		Age                  float64  `json:"age_seconds"`
		Idle                 *float64 `json:"idle_seconds"`
		Upload               int64    `json:"bytes_upload"`
		Download             int64    `json:"bytes_download"`
	}
}

// sessions asks for the open sessions that match parameters, over the unix socket.
func (s *seen) sessions(parameters ...string) (list sessionList) {
	s.t.Helper()
	a := s.ask(http.MethodGet, "/api/v1/sessions?"+strings.Join(parameters, "&"))
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.code != http.StatusOK || list.Problem != "" {
		s.t.Fatalf("sessions: code %d, %v: %s", a.code, err, a.body)
	}
	return list
}

// ids are the IDs of the sessions in a list.
func (l sessionList) ids() (ids []uint64) {
	for _, s := range l.Sessions {
		ids = append(ids, s.ID)
	}
	return ids
}

// named waits until the session of a client is in the list, and returns its ID.
func (s *seen) named(client *harness.Conn) (id uint64) {
	s.t.Helper()
	harness.Eventually(s.t, "the session is in the list", func() bool {
		list := s.sessions("client=" + url.QueryEscape(client.LocalAddr().String()))
		if len(list.Sessions) == 1 {
			id = list.Sessions[0].ID
		}
		return len(list.Sessions) == 1
	})
	return id
}

// The list has each open session with what its record will say; it can be filtered and is bounded.
func TestSessions(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		one, two := r.Identify("one"), r.Identify("two")
		s := see(r, harness.Config{MaxWorkers: 40, Apps: []harness.App{
			{Name: "Web", Targets: harness.To(one)},
			{Name: "other", Targets: harness.To(two)},
			{Name: "stuck", Targets: harness.To(two), AcceptProxyProtocol: &harness.AcceptProxyProtocol{From: []string{"127.0.0.0/8"}, Timeout: "60s"}},
		}})
		var clients []*harness.Conn
		var ids []uint64
		for i, name := range []string{"one", "one", "two"} {
			c := r.Dial(s.AddressOf(i / 2))
			if got, err := c.Name(); err != nil || got != name {
				t.Fatalf("%q, %v", got, err)
			}
			clients, ids = append(clients, c), append(ids, s.named(c))
		}
		silent := r.Dial(s.AddressOf(2))
		ids = append(ids, s.named(silent))

		list := s.sessions()
		if !slices.Equal(list.ids(), ids) || list.Version != 1 || list.Open != 4 || list.Matching != 4 || list.LeftOut != 0 || !list.MayClose {
			t.Fatalf("%+v, want %v", list, ids)
		}
		for i, got := range list.Sessions[:3] {
			name, target := []string{"Web", "Web", "other"}[i], []string{one.Address, one.Address, two.Address}[i]
			if got.App != name || got.Target != target || got.Client != clients[i].LocalAddr().String() || got.Peer != "" || got.State != "established" ||
				got.Idle == nil || *got.Idle > got.Age || got.Upload != 0 || got.Download == 0 || !strings.HasSuffix(s.AddressOf(i/2), got.Port[strings.LastIndexByte(got.Port, ':'):]) {
				t.Errorf("%+v", got)
			}
		}
		if got := list.Sessions[3]; got.State != "header" || got.Target != "" || got.Idle != nil {
			t.Errorf("a client whose header is awaited: %+v", got)
		}
		for parameters, want := range map[string][]uint64{
			"app=Web":                                ids[:2],
			"app=web":                                nil,
			"app=other":                              ids[2:3],
			"target=" + url.QueryEscape(one.Address): ids[:2],
			"target=10.0.0.1:80":                     nil,
			"client=127.0.0.0/8":                     ids,
			"client=127.0.0.1":                       ids,
			"client=10.0.0.0/8":                      nil,
			"client=unix:":                           nil,
			"state=header":                           ids[3:],
			"state=established&app=Web":              ids[:2],
			"search=WEB":                             ids[:2],
			"search=" + url.QueryEscape(" oth  estab "): ids[2:3],
			"search=nothing+of+the+kind":                nil,
			"client=&app=&state=&search=&target=":       ids,
		} {
			got := s.sessions(parameters)
			if !slices.Equal(got.ids(), want) || got.Open != 4 || got.Matching != len(want) {
				t.Errorf("%s: %v of %d that match, want %v", parameters, got.ids(), got.Matching, want)
			}
		}
		if got := s.sessions("limit=2", "client=127.0.0.1"); !slices.Equal(got.ids(), ids[:2]) || got.LeftOut != 2 {
			t.Errorf("the first two: %+v", got)
		}
		for _, bad := range []string{"limit=0", "limit=1001", "limit=-1", "limit=x", "client=here", "client=10.0.0.0/33", "state=open", "ap=web", "app=a&app=b",
			"search=" + strings.Repeat("x", 300), "app=%zz", "a;b"} {
			if a := s.ask(http.MethodGet, "/api/v1/sessions?"+bad); a.code != http.StatusBadRequest || !strings.HasPrefix(a.body, `{"error":"`) {
				t.Errorf("%s: %d %s", bad, a.code, a.body)
			}
		}
		over, err := request("tcp", s.tcp, http.MethodGet, "/api/v1/sessions")
		if err != nil || over.code != http.StatusOK || !strings.Contains(over.body, `"may_close":false`) || !strings.Contains(over.body, `"open":4`) {
			t.Errorf("over TCP: %d %s, %v", over.code, over.body, err)
		}
	})
}

// The commands list sessions and close one: with a reset on both sides, a cause of its own, and the name of who did it in the log.
func TestCloseASession(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(target)}}})
		kept, keptServer := s.Session(target)
		client, server := s.Session(target)
		client.Exchange(server, []byte("hello"))
		first, id := fmt.Sprint(s.named(kept)), fmt.Sprint(s.named(client))

		table := harness.Run(t, "sessions", "--socket", s.socket, "--app", "web", "--client", "127.0.0.0/8")
		lines := strings.Split(table.Stdout, "\n")
		if len(lines) != 5 || !strings.HasPrefix(strings.TrimSpace(lines[1]), first+" ") || !strings.HasPrefix(strings.TrimSpace(lines[2]), id+" ") ||
			!strings.Contains(lines[2], client.LocalAddr().String()+"  "+target.Address) || lines[3] != "2 sessions open" {
			t.Errorf("the table: %+v", table)
		}
		if raw := harness.Run(t, "sessions", "--socket", s.socket, "--json", "--limit", "1"); !strings.HasPrefix(raw.Stdout, `{"version":1,`) || !strings.Contains(raw.Stdout, `"left_out":1,`) {
			t.Errorf("the JSON: %+v", raw)
		}
		completed := harness.Run(t, "__complete", "close", "--socket", s.socket, "")
		if !strings.Contains(completed.Stdout, id+"\t"+client.LocalAddr().String()+" to "+target.Address+"\n") {
			t.Errorf("the shell is offered %s", completed.Stdout)
		}
		for flag, want := range map[string]string{"--app": "web", "--target": target.Address, "--state": "half_closed"} {
			if completed := harness.Run(t, "__complete", "sessions", "--socket", s.socket, flag, ""); !strings.Contains(completed.Stdout, want+"\n") {
				t.Errorf("for %s, the shell is offered %s", flag, completed.Stdout)
			}
		}

		result := harness.Run(t, "close", "--socket", s.socket, id)
		if result.Code != 0 || result.Stdout != "session "+id+" is closed\n" {
			t.Errorf("close: %+v", result)
		}
		client.ExpectReset()
		server.ExpectReset()
		record := s.ExpectCause(client, "operator_reset")
		if fmt.Sprint(record.Session) != id || record.BytesUp != 5 || record.Level != "info" || record.Error != "" {
			t.Errorf("the record of session %s: %+v", id, record)
		}
		audit := fmt.Sprintf("admin: POST /api/v1/sessions/%s/close from uid %d", id, os.Geteuid())
		harness.Eventually(t, "the log names the user", func() bool {
			return s.Log.Count(func(l harness.Line) bool { return l.Message == audit }) == 1
		})
		if m := s.scrape(); m.of("sessions_total", "app", "web", "cause", "operator_reset") != 1 {
			t.Error("the metrics do not count it")
		}
		for _, again := range []string{id, "99999999999", "0"} {
			result := harness.Run(t, "close", "--socket", s.socket, again)
			if result.Code != 1 || result.Stderr != "session "+again+": it has ended, or there never was one\n" {
				t.Errorf("close %s again: %+v", again, result)
			}
		}
		if a := s.ask(http.MethodPost, "/api/v1/sessions/x/close"); a.code != http.StatusBadRequest {
			t.Errorf("a session that is no number: %d %s", a.code, a.body)
		}
		if a := s.ask(http.MethodGet, "/api/v1/sessions/"+first+"/close"); a.code != http.StatusMethodNotAllowed {
			t.Errorf("GET: %d %s", a.code, a.body)
		}
		kept.Exchange(keptServer, []byte("goes on"))
	})
}
