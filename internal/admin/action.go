package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/sanitize"
)

// actionLog limits the log entries of actions: each is logged, unless a user makes more than 20 in a second.
var actionLog = logging.Kind{Name: "action", Burst: 20, Every: time.Second, Total: 50, Keys: 64}

// requireOperator passes requests of root, the service's own user and members of its group on, and answers others with 403.
// Over TCP the user is not known, so every request is answered with 403.
func (s *Server) requireOperator(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		peer, err := operatorOf(r)
		if err == nil && crossOrigin.Check(r) != nil {
			err = errors.New("another web page may not do actions")
		}
		if err != nil {
			answerProblem(w, http.StatusForbidden, Problem{Error: err.Error()})
			return
		}
		c := connOf(r)
		c.acting.Store(true)
		defer c.acting.Store(false)
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(actionTimeout)) // of a connection, which has one
		defer s.renderings.invalidate()
		s.log.Throttled(actionLog, fmt.Sprint(peer.UID), logging.Info, fmt.Sprintf("admin: %s %s from uid %d", r.Method, r.URL.Path, peer.UID), logging.Fields{"uid": peer.UID, "pid": peer.PID})
		h(w, r)
	}
}

// operatorOf returns who makes a request, or why that peer may not do actions.
func operatorOf(r *http.Request) (peer linux.Peer, err error) {
	c := connOf(r)
	if c == nil || c.LocalAddr().Network() != "unix" {
		return peer, errors.New("actions need a unix socket")
	}
	if peer, err = linux.PeerOf(c.Conn); err != nil {
		return peer, err
	}
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	if peer.UID != 0 && peer.UID != uid && !peer.InGroup(gid) {
		return peer, fmt.Errorf("permission denied for user %d: only root, the user of the service and members of its group %s may do this",
			peer.UID, groupName(gid))
	}
	return peer, nil
}

// crossOrigin is the check of net/http against forged requests of other web pages. A browser on the machine of an operator, who
// has forwarded a port to the unix socket, sends requests of any page there. A name that such a page has made resolve to that port
// is the page's own origin, which isForwardedRebinding refuses.
var crossOrigin http.CrossOriginProtection

// groupName gives the name of a group, or its number where it has none.
func groupName(gid uint32) string {
	number := strconv.FormatUint(uint64(gid), 10)
	if group, err := user.LookupGroupId(number); err == nil {
		return sanitize.Text(group.Name, sanitize.Limit)
	}
	return number
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	changes, err := s.node.Reload(r.Context())
	if err != nil {
		answerProblem(w, reloadCode(err), Problem{Error: "reload refused, keeping the current configuration", Errors: sentences(err)})
		return
	}
	answerJSON(w, http.StatusOK, changes)
}

// reloadCode is 422 if the configuration is bad or not there, and 500 if it is good, but this machine stands in its way.
func reloadCode(err error) int {
	var bad config.Error
	var unread *fs.PathError
	var system syscall.Errno
	if errors.As(err, &unread) || errors.As(err, &bad) && !errors.As(err, &system) {
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// sentences gives each of the errors that err consists of.
func sentences(err error) []string {
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		return []string{err.Error()}
	}
	var texts []string
	for _, one := range many.Unwrap() {
		texts = append(texts, one.Error())
	}
	return texts
}

func (s *Server) drain(on bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.node.Drain(on)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) drainTarget(on bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := s.node.DrainTarget(r.PathValue("app"), r.PathValue("target"), on)
		switch {
		case errors.Is(err, proxy.ErrNoApp), errors.Is(err, proxy.ErrNoTarget):
			answerProblem(w, http.StatusNotFound, Problem{Error: err.Error()})
		case err != nil:
			answerProblem(w, http.StatusInternalServerError, Problem{Error: err.Error()})
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}
