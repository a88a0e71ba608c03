package page

import (
	"encoding/json"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/admin/page"
	"tcp-proxy/internal/proxy"
)

// A site serves the page, and what the proxy is said to say. It can go away and come back.
type site struct {
	testing.TB
	url     string
	address string
	server  *http.Server
	expects string // part of the complaints that the page may have

	answer atomic.Pointer[[]byte]
	live   atomic.Pointer[func() proxy.Snapshot] // instead of answer
	code   atomic.Int64                          // instead of 200
	polls  atomic.Int64

	active     atomic.Pointer[[]byte] // the answer about the configuration
	configCode atomic.Int64           // instead of 200
	configs    atomic.Int64           // how often it was asked for

	sessions atomic.Pointer[[]byte] // the answer about open sessions
	listCode atomic.Int64           // instead of 200
	listed   atomic.Int64           // how often they were asked for
	search   atomic.Pointer[string] // the parameters of the last time
}

func serve(t testing.TB, s proxy.Snapshot) *site {
	t.Helper()
	where := &site{TB: t, address: "127.0.0.1:0"}
	where.say(s)
	where.start()
	where.url = "http://" + where.address + "/"
	t.Cleanup(where.stop)
	return where
}

// start listens where it did before.
func (s *site) start() {
	s.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		s.Fatal(err)
	}
	s.address = listener.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("GET /", page.Handler(http.NotFoundHandler(), func(*http.Request) bool { return false }))
	mux.HandleFunc("GET /api/v1/status", s.status)
	mux.HandleFunc("GET /api/v1/config", s.answerConfig)
	mux.HandleFunc("GET /api/v1/sessions", s.answerSessions)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go s.server.Serve(listener)
}

// stop closes the port and all connections.
func (s *site) stop() {
	s.Helper()
	if err := s.server.Close(); err != nil {
		s.Error(err)
	}
}

func (s *site) status(w http.ResponseWriter, _ *http.Request) {
	s.polls.Add(1)
	body := *s.answer.Load()
	if live := s.live.Load(); live != nil {
		body, _ = json.Marshal((*live)())
	}
	w.Header().Set("Content-Type", "application/json")
	if code := s.code.Load(); code != 0 {
		w.WriteHeader(int(code))
	}
	w.Write(body)
}

func (s *site) answerSessions(w http.ResponseWriter, r *http.Request) {
	s.listed.Add(1)
	s.search.Store(&r.URL.RawQuery)
	w.Header().Set("Content-Type", "application/json")
	if code := s.listCode.Load(); code != 0 {
		w.WriteHeader(int(code))
	}
	if body := s.sessions.Load(); body != nil {
		w.Write(*body)
	}
}

func (s *site) answerConfig(w http.ResponseWriter, _ *http.Request) {
	s.configs.Add(1)
	w.Header().Set("Content-Type", "application/json")
	if code := s.configCode.Load(); code != 0 {
		w.WriteHeader(int(code))
	}
	if body := s.active.Load(); body != nil {
		w.Write(*body)
	}
}

// config makes that the active configuration from now on.
func (s *site) config(c admin.Config) {
	s.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		s.Fatal(err)
	}
	s.active.Store(&body)
}

// searched gives the parameters with which the sessions were asked for last.
func (s *site) searched() string {
	if last := s.search.Load(); last != nil {
		return *last
	}
	return ""
}

// list makes that the list of open sessions from now on.
func (s *site) list(sessions proxy.Sessions) {
	s.Helper()
	body, err := json.Marshal(sessions)
	if err != nil {
		s.Fatal(err)
	}
	s.sessions.Store(&body)
}

// say makes that the answer from now on.
func (s *site) say(snapshot proxy.Snapshot) {
	s.Helper()
	body, err := json.Marshal(snapshot)
	if err != nil {
		s.Fatal(err)
	}
	s.answer.Store(&body)
}
