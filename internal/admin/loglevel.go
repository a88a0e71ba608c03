package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tcp-proxy/internal/proxy"
)

// logLevel answers with the level of the log.
func (s *Server) logLevel(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, http.StatusOK, s.node.LogLevel())
}

// setLogLevel sets the level of the log.
func (s *Server) setLogLevel(w http.ResponseWriter, r *http.Request) {
	d, err := logLevelTime(r.URL.RawQuery)
	if err == nil {
		err = s.node.SetLogLevel(r.PathValue("level"), d, asker(r))
	}
	if err != nil {
		answerProblem(w, http.StatusBadRequest, Problem{Error: err.Error()})
		return
	}
	answerJSON(w, http.StatusOK, s.node.LogLevel())
}

// resetLogLevel puts the configured level in force.
func (s *Server) resetLogLevel(w http.ResponseWriter, r *http.Request) {
	s.node.ResetLogLevel(asker(r))
	answerJSON(w, http.StatusOK, s.node.LogLevel())
}

// asker names the user who makes a request that requireOperator has passed on.
func asker(r *http.Request) string {
	peer, err := operatorOf(r)
	if err != nil {
		return "nobody" // it was there a moment ago
	}
	return fmt.Sprintf("uid %d", peer.UID)
}

// logLevelTime reads the parameter of setLogLevel: for how long; 0 if it is not given.
func logLevelTime(raw string) (d time.Duration, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return 0, fmt.Errorf("the parameters cannot be read: %w", err)
	}
	for name, given := range values {
		if name != "for" || len(given) > 1 {
			return 0, fmt.Errorf("there is one parameter, for, and not %q", raw)
		}
		if d, err = ParseLogLevelTime(given[0]); err != nil {
			return 0, fmt.Errorf("the parameter for %w", err)
		}
	}
	return d, nil
}

// ParseLogLevelTime reads for how long a level of the log is set.
func ParseLogLevelTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < proxy.MinLogLevelTime || d > proxy.MaxLogLevelTime {
		return 0, fmt.Errorf("must be a duration such as \"10m\", %s, not %q", proxy.LogLevelTimes, text)
	}
	return d, nil
}
