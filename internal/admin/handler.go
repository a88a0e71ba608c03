package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"tcp-proxy/internal/admin/page"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
)

// handler serves the API at one address. Actions are for unix sockets only; door bounds what is asked there.
func (s *Server) handler(unix bool, door *pace) http.Handler {
	mux := http.NewServeMux()
	get := func(path string, h http.HandlerFunc) { mux.Handle(path, only(http.MethodGet, h)) }
	post := func(path string, h http.HandlerFunc) { mux.Handle(path, only(http.MethodPost, s.entitled(h))) }

	get("/healthz", func(w http.ResponseWriter, _ *http.Request) { answerLine(w, http.StatusOK, "ok") })
	get("/readyz", s.readyz)
	get("/metrics", s.show(metricsView, "text/plain; version=0.0.4; charset=utf-8"))
	get("/api/v1/status", s.show(statusView, "application/json"))
	post("/api/v1/reload", s.reload)
	post("/api/v1/drain", s.drain(true))
	post("/api/v1/undrain", s.drain(false))
	post("/api/v1/apps/{app}/targets/{target}/drain", s.drainTarget(true))
	post("/api/v1/apps/{app}/targets/{target}/undrain", s.drainTarget(false))
	pages := page.Handler(http.HandlerFunc(nothing))
	get("/{$}", pages.ServeHTTP)
	get("/page/{file}", pages.ServeHTTP)
	mux.HandleFunc("/", nothing)

	return http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		w, guest := &outcome{ResponseWriter: to}, guestOf(r)
		defer s.recovered(w)
		s.dress(w.Header())
		toll := guest.asks(door)
		if !toll.open() {
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", "1")
			answerProblem(w, http.StatusTooManyRequests, Problem{Error: "too many requests at this address"})
			return
		}
		toll.charge(1)
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case !unix && !reads:
			answerProblem(w, http.StatusForbidden, Problem{Error: "this address is read-only: actions need a unix socket of the admin API"})
		case !unix && strange(r):
			answerProblem(w, http.StatusForbidden, Problem{Error: fmt.Sprintf(
				"a loopback address does not answer for the host name %q: use localhost or the IP address", r.Host)})
		default:
			mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tollKey{}, toll)))
		}
		if w.good() {
			guest.answered()
		}
	})
}

// nothing answers for a path at which there is nothing.
func nothing(w http.ResponseWriter, r *http.Request) {
	answerProblem(w, http.StatusNotFound, Problem{Error: "no such path: " + r.URL.Path})
}

// tollKey is the key of a request's toll in its context.
type tollKey struct{}

// dress sets what every answer has: nothing keeps it, frames it, or takes it for what it is not.
func (s *Server) dress(h http.Header) {
	h.Set("Server", "tcp-proxy/"+s.version)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// strange reports whether a request that reached a loopback address was meant for another name: a web page that had
// its own name point here, to read in a browser on this machine what is not the page's (DNS rebinding).
func strange(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || !local.IP.IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	_, err := netip.ParseAddr(host)
	return err != nil && host != "" && !strings.EqualFold(host, "localhost")
}

// only answers other methods with 405, and bodies that are too long with 413.
func only(method string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != method && (r.Method != http.MethodHead || method != http.MethodGet):
			w.Header().Set("Allow", method)
			answerProblem(w, http.StatusMethodNotAllowed, Problem{Error: fmt.Sprintf("%s takes %s, not %s", r.URL.Path, method, r.Method)})
		case !drained(w, r):
			w.Header().Set("Connection", "close")
			answerProblem(w, http.StatusRequestEntityTooLarge, Problem{Error: fmt.Sprintf("a request body may have at most %d bytes", mostBody)})
		default:
			h(w, r)
		}
	}
}

// drained reads the body of a request, which means nothing here, and reports whether it is short enough.
func drained(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength > mostBody {
		return false
	}
	body := http.MaxBytesReader(w, r.Body, mostBody)
	var waste [512]byte
	for {
		if _, err := body.Read(waste[:]); err != nil {
			tooLong, ok := err.(*http.MaxBytesError)
			return !ok || tooLong == nil
		}
	}
}

// show answers with a view of the node.
func (s *Server) show(v view, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		gzipped := takesGzip(r)
		body, err := s.pictures.draw(v, gzipped)
		if err != nil {
			s.log.Throttled(mistakes, "", logging.Error, "admin: answering a request failed", logging.Fields{logging.ErrorKey: err})
			answerProblem(w, http.StatusInternalServerError, Problem{Error: err.Error()})
			return
		}
		r.Context().Value(tollKey{}).(toll).charge(float64(len(body) / chunk))
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Length", fmt.Sprint(len(body)))
		h.Set("Vary", "Accept-Encoding")
		if gzipped {
			h.Set("Content-Encoding", "gzip")
		}
		w.Write(body) // who does not take it has gone
	}
}

// readyz tells whoever spreads connections over nodes whether this one wants more.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if stage := s.node.Stage(); stage != proxy.Serving {
		answerLine(w, http.StatusServiceUnavailable, string(stage))
		return
	}
	answerLine(w, http.StatusOK, "ready")
}

// mistakes are the entries of handlers that have died.
var mistakes = logging.Kind{Name: "mistake", Burst: 1, Every: 10 * time.Second, Total: 1, Keys: 1}

// recovered logs what a handler died of.
func (s *Server) recovered(w http.ResponseWriter) {
	if cause := recover(); cause != nil {
		s.log.Throttled(mistakes, "", logging.Error, fmt.Sprintf("admin: answering a request failed: %v", cause),
			logging.Fields{logging.StackKey: string(debug.Stack())})
		w.Header().Set("Connection", "close")
		answerProblem(w, http.StatusInternalServerError, Problem{Error: "internal error; see the log of the proxy"})
	}
}
