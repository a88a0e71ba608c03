// Package client asks the admin API of a proxy on this machine, over its unix socket.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/sanitize"
)

const (
	timeout   = 2 * time.Minute // how long an answer may take; whoever asks for a reload waits for all of it
	maxAnswer = 256 << 20       // bytes of an answer
)

// Client asks a proxy. It is safe for concurrent use.
type Client struct {
	path string
	at   string // the path, to be shown
	http http.Client
	most int64 // bytes of an answer
}

// New makes a client of the proxy whose admin socket has that path.
func New(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, at: sanitize.Text(path, sanitize.Limit), most: maxAnswer, http: http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{DialContext: dial, DisableCompression: true},
	}}
}

// Refused is the answer of a proxy that does not do what it was asked.
type Refused struct {
	Code int // of HTTP
	admin.Problem
}

// Error gives what the proxy said: a sentence, and each of several errors on a line of its own. The lines are printable.
func (r *Refused) Error() string {
	lines := make([]string, 0, 1+len(r.Errors))
	for _, text := range append([]string{r.Problem.Error}, r.Errors...) {
		lines = append(lines, sanitize.Text(text, mostText))
	}
	return strings.Join(lines, "\n")
}

// mostText is how long each text that a proxy sends may be to be shown, in bytes.
const mostText = 4 << 10

// Status is how a proxy is doing.
type Status struct {
	proxy.Snapshot
	Body    []byte // the snapshot as the proxy has sent it
	Program string // its version, such as 1.2.3
}

// Status asks how the proxy is doing. If it says so in a version that is not known here, that is an error, and the Body
// is there all the same.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	var header http.Header
	header, s.Body, err = c.document(ctx, "/api/v1/status", "status", &s.Snapshot, &s.Version, proxy.SnapshotVersion)
	s.Program = sanitize.Text(strings.TrimPrefix(header.Get("Server"), "tcp-proxy/"), sanitize.Limit)
	return s, err
}

// Reload makes the proxy re-read its configuration, and returns what has changed.
func (c *Client) Reload(ctx context.Context) (changes proxy.Changes, err error) {
	if err = c.ask(ctx, http.MethodPost, "/api/v1/reload", "does not list the changes", &changes); err != nil {
		return changes, err
	}
	for _, names := range [][]string{changes.Added, changes.Removed, changes.Changed, changes.Global} {
		for i, name := range names {
			names[i] = sanitize.Text(name, sanitize.Limit)
		}
	}
	return changes, nil
}

// Sessions lists the open sessions that match parameters of /api/v1/sessions. As for Status, the Body of a list in another
// version is there in spite of the error.
func (c *Client) Sessions(ctx context.Context, query url.Values) (s Sessions, err error) {
	_, s.Body, err = c.document(ctx, "/api/v1/sessions?"+query.Encode(), "list of sessions", &s.Sessions, &s.Version, proxy.SessionsVersion)
	return s, err
}

// Sessions is a list of open sessions.
type Sessions struct {
	proxy.Sessions
	Body []byte // the list as the proxy has sent it
}

// Config asks for the active configuration. As for Status, the Body of one in another version is there in spite of the error.
func (c *Client) Config(ctx context.Context) (s Config, err error) {
	_, s.Body, err = c.document(ctx, "/api/v1/config", "configuration", &s.Config, &s.Version, admin.ConfigVersion)
	return s, err
}

// Config is the active configuration.
type Config struct {
	admin.Config
	Body []byte // as the proxy has sent it
}

// CloseSession resets an open session.
func (c *Client) CloseSession(ctx context.Context, id uint64) error {
	_, _, err := c.do(ctx, http.MethodPost, fmt.Sprintf("/api/v1/sessions/%d/close", id))
	return err
}

// LogLevel asks for the level of the log.
func (c *Client) LogLevel(ctx context.Context) (proxy.LogLevel, error) {
	return c.logLevel(ctx, http.MethodGet, "/api/v1/log-level")
}

// SetLogLevel sets the level of the log for a time, or, if that is 0, for as long as the proxy decides. It returns what is in
// force then.
func (c *Client) SetLogLevel(ctx context.Context, level string, d time.Duration) (proxy.LogLevel, error) {
	path := "/api/v1/log-level/" + url.PathEscape(level)
	if d > 0 {
		path += "?for=" + d.String()
	}
	return c.logLevel(ctx, http.MethodPost, path)
}

// ResetLogLevel puts the configured level of the log in force.
func (c *Client) ResetLogLevel(ctx context.Context) (proxy.LogLevel, error) {
	return c.logLevel(ctx, http.MethodPost, "/api/v1/log-level/reset")
}

func (c *Client) logLevel(ctx context.Context, method, path string) (level proxy.LogLevel, err error) {
	if err = c.ask(ctx, method, path, "is not a log level", &level); err != nil {
		return level, err
	}
	level.Level, level.Configured = sanitize.Text(level.Level, sanitize.Limit), sanitize.Text(level.Configured, sanitize.Limit)
	return level, nil
}

// Drain makes the node report not ready; with on false, ready again.
func (c *Client) Drain(ctx context.Context, on bool) error {
	_, _, err := c.do(ctx, http.MethodPost, "/api/v1/"+verb(on))
	return err
}

// DrainTarget stops new sessions to a target of an app; with on false, it allows them again.
func (c *Client) DrainTarget(ctx context.Context, app, target string, on bool) error {
	_, _, err := c.do(ctx, http.MethodPost, "/api/v1/apps/"+url.PathEscape(app)+"/targets/"+url.PathEscape(target)+"/"+verb(on))
	return err
}

func verb(on bool) string {
	if on {
		return "drain"
	}
	return "undrain"
}

// document asks for a document that has a version, and reads its JSON into to, where version is. If it is not the version that
// is known here, that is the error, even if the rest cannot be read, and the body is returned all the same.
func (c *Client) document(ctx context.Context, path, name string, to any, version *int, known int) (http.Header, []byte, error) {
	header, body, err := c.do(ctx, http.MethodGet, path)
	if err != nil {
		return nil, nil, err
	}
	unread := json.Unmarshal(body, to)
	switch {
	case unread != nil && (*version == 0 || *version == known):
		return nil, nil, fmt.Errorf("the response from %s is not a %s: %w", c.at, name, unread)
	case *version != known:
		return header, body, fmt.Errorf("the %s from %s has version %d, but this program knows version %d: use the program that is running, or --json",
			name, c.at, *version, known)
	}
	return header, body, nil
}

// ask makes a request, and reads the JSON of a success into answer. wrong says what a body that cannot be read is.
func (c *Client) ask(ctx context.Context, method, path, wrong string, answer any) error {
	_, body, err := c.do(ctx, method, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the response from %s %s: %w", c.at, wrong, err)
	}
	return nil
}

// do makes a request and returns the body of a success.
func (c *Client) do(ctx context.Context, method, path string) (http.Header, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, c.explain(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, c.most+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read the response from %s: %w", c.at, sanitize.Error(err, mostText))
	case int64(len(body)) > c.most:
		return nil, nil, fmt.Errorf("the response from %s has more than %d bytes", c.at, c.most)
	}
	if response.StatusCode/100 == 2 {
		return response.Header, body, nil
	}
	refused := &Refused{Code: response.StatusCode}
	if json.Unmarshal(body, &refused.Problem) != nil || refused.Problem.Error == "" {
		refused.Problem.Error = fmt.Sprintf("%s at %s: %s", path, c.at, response.Status)
	}
	return nil, nil, refused
}

// explain says in the words of an operator why a proxy cannot be asked.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("tcp-proxy is not running, or its configuration has no such admin socket: no file %s", c.at)
	case errors.Is(err, unix.ECONNREFUSED) && !isSocket(c.path):
		return fmt.Errorf("%s is not a socket: name the admin socket of the proxy with --socket, or its configuration with --config-file", c.at)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("tcp-proxy is not running: nobody listens on %s", c.at)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("permission denied on the admin socket %s: only root and the group %s may use it", c.at, groupOf(c.path))
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return fmt.Errorf("query tcp-proxy at %s: %w", c.at, sanitize.Error(err, mostText))
}

// isSocket reports whether a path is a socket; also true if that cannot be found out.
func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.Mode().Type() == fs.ModeSocket
}

// groupOf names the group of a file, or says that it is not known.
func groupOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "of the service"
	}
	number := strconv.FormatUint(uint64(info.Sys().(*syscall.Stat_t).Gid), 10)
	if group, err := user.LookupGroupId(number); err == nil {
		return sanitize.Text(group.Name, sanitize.Limit)
	}
	return number
}
