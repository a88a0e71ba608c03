package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/relay"
)

// maxSearch is how long the words of a search may be, in bytes.
const maxSearch = 256

// sessions answers with a list of open sessions.
func (s *Server) sessions(w http.ResponseWriter, r *http.Request) {
	q, err := sessionQuery(r.URL.RawQuery)
	if err != nil {
		answerProblem(w, http.StatusBadRequest, Problem{Error: err.Error()})
		return
	}
	list, ok := s.listSessions(r.Context(), q)
	if !ok {
		w.Header().Set("Retry-After", "1")
		answerProblem(w, http.StatusServiceUnavailable, Problem{Error: "too many lists of sessions are being made: ask again later"})
		return
	}
	_, err = operatorOf(r)
	list.MayClose = err == nil
	r.Context().Value(chargesKey{}).(charges).charge(len(list.Sessions) * sessionSize / chunk)
	answerJSON(w, http.StatusOK, list)
}

// listSessions lists sessions when it has its turn. It reports false if that takes too long.
func (s *Server) listSessions(ctx context.Context, q proxy.SessionQuery) (proxy.Sessions, bool) {
	if !s.lists.begin(ctx) {
		return proxy.Sessions{}, false
	}
	defer s.lists.end() // also after a panic, which handler recovers: otherwise there would be no other list
	return s.node.Sessions(ctx, q), true
}

// sessionSize is how many bytes a session takes in an answer, about.
const sessionSize = 300

// sessionQuery reads the parameters of a list of sessions.
func sessionQuery(raw string) (q proxy.SessionQuery, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("the parameters cannot be read: %w", err)
	}
	for name, given := range values {
		if len(given) > 1 {
			return q, fmt.Errorf("the parameter %s is given %d times", name, len(given))
		}
		if err := sessionParameter(&q, name, given[0]); err != nil {
			return q, err
		}
	}
	return q, nil
}

func sessionParameter(q *proxy.SessionQuery, name, value string) (err error) {
	switch name {
	case "app":
		q.App = value
	case "target":
		q.Target = value
	case "client":
		if value != "" {
			q.Client, err = proxy.ParseClientPattern(value)
		}
	case "state":
		q.State = relay.Progress(value)
		if value != "" && !slices.Contains(relay.Progresses[:], q.State) {
			err = fmt.Errorf("%q is no state: there are %s", value, strings.Join(SessionStates(), ", "))
		}
	case "search":
		if len(value) > maxSearch {
			return fmt.Errorf("a search has at most %d bytes", maxSearch)
		}
		q.Words = strings.Fields(value)
	case "limit":
		q.Limit, err = strconv.Atoi(value)
		if err != nil || q.Limit < 1 || q.Limit > proxy.MaxSessions {
			err = fmt.Errorf("the limit must be a number from 1 to %d, not %q", proxy.MaxSessions, value)
		}
	default:
		err = fmt.Errorf("there is no parameter %q: there are app, target, client, state, search and limit", name)
	}
	return err
}

// SessionStates returns the states of a session.
func SessionStates() (words []string) {
	for _, p := range relay.Progresses {
		words = append(words, string(p))
	}
	return words
}

// closeSession resets a session.
func (s *Server) closeSession(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.PathValue("session"), 10, 64)
	if err != nil {
		answerProblem(w, http.StatusBadRequest, Problem{Error: fmt.Sprintf("%q is no session: the ID of a session is a number", r.PathValue("session"))})
		return
	}
	switch err := s.node.CloseSession(r.Context(), id); {
	case errors.Is(err, proxy.ErrNoSession):
		answerProblem(w, http.StatusNotFound, Problem{Error: err.Error()})
	case err != nil:
		answerProblem(w, http.StatusInternalServerError, Problem{Error: err.Error()})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// A lister lets requests list sessions one after the other, with a pause after each: so that lists take no more than one part
// in renderingShare of the time of the loops, however many are asked for. Only a list that takes longer than that part of
// listPause takes more.
type lister struct {
	turn  chan struct{} // holds a value while somebody has the turn
	begun time.Time     // when the last one began; of who has the turn
	next  time.Time     // when the next one may begin; of who has the turn
}

// How long a request waits for its turn, and the longest pause after a list.
const (
	listWait  = 5 * time.Second
	listPause = time.Second
)

func newLister() *lister { return &lister{turn: make(chan struct{}, 1)} }

// begin waits for a turn, which end gives back. It reports false if that takes too long.
func (l *lister) begin(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, listWait)
	defer cancel()
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	pause := time.NewTimer(time.Until(l.next))
	defer pause.Stop()
	select {
	case <-pause.C:
		l.begun = time.Now()
		return true
	case <-ctx.Done():
		<-l.turn
		return false
	}
}

func (l *lister) end() {
	spent := time.Since(l.begun)
	l.next = l.begun.Add(spent + min(renderingShare*spent, listPause))
	<-l.turn
}
