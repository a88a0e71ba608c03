package page

import (
	"encoding/json"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

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
	mux.Handle("GET /", page.Handler(http.NotFoundHandler()))
	mux.HandleFunc("GET /api/v1/status", s.status)
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

// say makes that the answer from now on.
func (s *site) say(snapshot proxy.Snapshot) {
	s.Helper()
	body, err := json.Marshal(snapshot)
	if err != nil {
		s.Fatal(err)
	}
	s.answer.Store(&body)
}
