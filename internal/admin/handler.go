package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tcp-proxy/internal/admin/page"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
)

// handler serves the API at one address. Actions are for unix sockets only. address limits the requests.
func (s *Server) handler(unix bool, address *rate.Limiter) http.Handler {
	mux := s.routes()
	return http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		w, c := &outcome{ResponseWriter: to}, connOf(r)
		defer s.recovered(w)
		s.setHeaders(w.Header())
		charges := c.requested(address)
		if !charges.open() {
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", "1")
			answerProblem(w, http.StatusTooManyRequests, Problem{Error: "too many requests at this address"})
			return
		}
		charges.charge(1)
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case !unix && !reads:
			answerProblem(w, http.StatusForbidden, Problem{Error: "this address is read-only: actions need a unix socket of the admin API"})
		case unix && isForwardedRebinding(r):
			answerProblem(w, http.StatusForbidden, Problem{Error: fmt.Sprintf(
				"a browser gets no answer for the host name %q over http: use localhost or the IP address", r.Host)})
		case !unix && isRebinding(r):
			answerProblem(w, http.StatusForbidden, Problem{Error: fmt.Sprintf(
				"a loopback address does not answer for the host name %q: use localhost or the IP address", r.Host)})
		default:
			mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), chargesKey{}, charges)))
		}
		if w.good() {
			c.answered()
		}
	})
}

// routes returns the paths of the API, or only that of reloads.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	get := func(path string, h http.HandlerFunc) { mux.Handle(path, only(http.MethodGet, h)) }
	post := func(path string, h http.HandlerFunc) { mux.Handle(path, only(http.MethodPost, s.requireOperator(h))) }

	post("/api/v1/reload", s.reload)
	mux.HandleFunc("/", notFound)
	if s.reloadOnly {
		return mux
	}
	get("/healthz", func(w http.ResponseWriter, _ *http.Request) { answerLine(w, http.StatusOK, "ok") })
	get("/readyz", s.readyz)
	get("/metrics", s.show("text/plain; version=0.0.4; charset=utf-8", s.renderings.of(metricsView)))
	get("/api/v1/config", s.show("application/json", func(gzipped bool) ([]byte, error) { return s.running.render(s.node.Running(), gzipped) }))
	get("/api/v1/status", s.show("application/json", s.renderings.of(statusView)))
	get("/api/v1/sessions", s.sessions)
	post("/api/v1/sessions/{session}/close", s.closeSession)
	get("/api/v1/log-level", s.logLevel)
	post("/api/v1/log-level/{level}", s.setLogLevel)
	post("/api/v1/log-level/reset", s.resetLogLevel)
	post("/api/v1/drain", s.drain(true))
	post("/api/v1/undrain", s.drain(false))
	post("/api/v1/apps/{app}/targets/{target}/drain", s.drainTarget(true))
	post("/api/v1/apps/{app}/targets/{target}/undrain", s.drainTarget(false))
	get("/{$}", showPage)
	get("/page/{file}", showPage)
	return mux
}

// pages is made for the first who asks: to compress it takes milliseconds, and every start of the program, also as a command,
// would take them.
var pages = sync.OnceValue(func() http.Handler { return page.Handler(http.HandlerFunc(notFound), takesGzip) })

// showPage answers with the page or its icon.
func showPage(w http.ResponseWriter, r *http.Request) {
	counted := &countedWriter{ResponseWriter: w}
	pages().ServeHTTP(counted, r)
	r.Context().Value(chargesKey{}).(charges).charge(counted.bytes / chunk)
}

// countedWriter counts the bytes of a body.
type countedWriter struct {
	http.ResponseWriter
	bytes int
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += n
	return n, err
}

// notFound answers requests for paths that do not exist.
func notFound(w http.ResponseWriter, r *http.Request) {
	answerProblem(w, http.StatusNotFound, Problem{Error: "no such path: " + r.URL.Path})
}

// chargesKey is the key of a request's charges in its context.
type chargesKey struct{}

// setHeaders sets the headers of every answer: it must not be cached, framed, or taken for another type.
func (s *Server) setHeaders(h http.Header) {
	h.Set("Server", "tcp-proxy/"+s.version)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// isRebinding reports whether a request to a loopback address has another host name. That is DNS rebinding: a web page makes
// its own name resolve to this machine, so that a browser here lets the page read the answers.
func isRebinding(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || !local.IP.IsLoopback() {
		return false
	}
	return !isPlainHost(r.Host)
}

// isForwardedRebinding is isRebinding for a unix socket, to which an operator has forwarded a port of the machine with the
// browser. Other clients of a socket may use any name. A browser sends Accept-Encoding with every request, Origin with every
// action, also through a server that removes Accept-Encoding, and Sec-Fetch-Site over https, as through a server in front of the
// socket, where the certificate prevents rebinding. No page can set or remove these headers (Fetch standard, forbidden
// request-headers; W3C Fetch Metadata).
func isForwardedRebinding(r *http.Request) bool {
	browser := r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Origin") != ""
	return browser && r.Header.Get("Sec-Fetch-Site") == "" && !isPlainHost(r.Host)
}

// isPlainHost reports whether the Host of a request is localhost, an IP address or nothing.
func isPlainHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	_, err := netip.ParseAddr(host)
	return err == nil || host == "" || strings.EqualFold(host, "localhost")
}

// only answers other methods than the given one with 405, and bodies that are too long with 413.
func only(method string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != method && (r.Method != http.MethodHead || method != http.MethodGet):
			w.Header().Set("Allow", method)
			answerProblem(w, http.StatusMethodNotAllowed, Problem{Error: fmt.Sprintf("%s takes %s, not %s", r.URL.Path, method, r.Method)})
		case !discardBody(w, r):
			w.Header().Set("Connection", "close")
			answerProblem(w, http.StatusRequestEntityTooLarge, Problem{Error: fmt.Sprintf("a request body may have at most %d bytes", maxBody)})
		default:
			h(w, r)
		}
	}
}

// discardBody reads the body of a request, which has no meaning here, and reports whether it is short enough.
func discardBody(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength > maxBody {
		return false
	}
	body := http.MaxBytesReader(w, r.Body, maxBody)
	var waste [512]byte
	for {
		if _, err := body.Read(waste[:]); err != nil {
			tooLong, ok := err.(*http.MaxBytesError)
			return !ok || tooLong == nil
		}
	}
}

// show answers with the text that render returns, of content type kind.
func (s *Server) show(kind string, render func(gzipped bool) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		gzipped := takesGzip(r)
		text, err := render(gzipped)
		if err != nil {
			s.log.Throttled(panicLog, "", logging.Error, "admin: answering a request failed", logging.Fields{logging.ErrorKey: err})
			answerProblem(w, http.StatusInternalServerError, Problem{Error: err.Error()})
			return
		}
		r.Context().Value(chargesKey{}).(charges).charge(len(text) / chunk)
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Length", fmt.Sprint(len(text)))
		h.Set("Vary", "Accept-Encoding")
		if gzipped {
			h.Set("Content-Encoding", "gzip")
		}
		w.Write(text) // an error means that the client is gone
	}
}

// readyz tells load balancers whether this node takes new connections.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if stage := s.node.Stage(); stage != proxy.Serving {
		answerLine(w, http.StatusServiceUnavailable, string(stage))
		return
	}
	answerLine(w, http.StatusOK, "ready")
}

// panicLog limits the log entries of handlers that failed.
var panicLog = logging.Kind{Name: "mistake", Burst: 1, Every: 10 * time.Second, Total: 1, Keys: 1}

// recovered logs the panic of a handler.
func (s *Server) recovered(w http.ResponseWriter) {
	if cause := recover(); cause != nil {
		s.log.Throttled(panicLog, "", logging.Error, fmt.Sprintf("admin: answering a request failed: %v", cause),
			logging.Fields{logging.StackKey: string(debug.Stack())})
		w.Header().Set("Connection", "close")
		answerProblem(w, http.StatusInternalServerError, Problem{Error: "internal error; see the log of the proxy"})
	}
}
