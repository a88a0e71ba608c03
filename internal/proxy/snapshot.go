package proxy

import (
	"errors"
	"time"

	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/upstream"
)

// SnapshotVersion is the version of the JSON of Snapshot. It changes if a field is removed or gets another meaning,
// not if one is added.
const SnapshotVersion = 1

// The errors of DrainTarget.
var (
	ErrNoApp    = errors.New("no such app")
	ErrNoTarget = errors.New("no such target")
)

// Snapshot is the state of a server. It shares nothing with the server and belongs to the caller. Its JSON is the body of
// /api/v1/status; durations are seconds there, and sizes bytes. The API fills in Hostname and ProgramVersion.
type Snapshot struct {
	Version        int               `json:"version"`
	Hostname       string            `json:"hostname,omitempty"`        // of this machine; empty: not known
	ProgramVersion string            `json:"program_version,omitempty"` // of this program; empty: not known
	Taken          time.Time         `json:"taken"`
	Started        time.Time         `json:"started,omitzero"` // when the server began to accept; zero: it has not yet
	State          Stage             `json:"state"`
	AdminListen    []string          `json:"admin_listen"` // the addresses of the admin API, as in the configuration
	Engine         string            `json:"engine"`
	Workers        Workers           `json:"workers"`
	Reloads        Reloads           `json:"reloads"`
	Log            Log               `json:"log"`
	Shortages      []Shortage        `json:"shortages"`       // current ones, the longest first
	Lacked         map[string]uint64 `json:"shortages_total"` // failures because this machine lacked something, by kind
	Names          []Name            `json:"names"`           // names of targets that are looked up
	Apps           []App             `json:"apps"`
	Events         []Event           `json:"events"` // oldest first; the oldest of those that repeat are removed
}

// Stage is what the server is doing.
type Stage string

// The stages. A draining server still serves, but reports not ready, so that load balancers send it no more clients.
const (
	Starting Stage = "starting"
	Serving  Stage = "serving"
	Draining Stage = "draining"
	Stopping Stage = "stopping"
)

// Workers is the state of the worker pool.
type Workers struct {
	Busy   int               `json:"busy"`
	Max    int               `json:"max"`
	Paused map[string]uint64 `json:"paused"` // number of pauses of accept, by reason: one of the Paused constants
}

// The reasons why accepting pauses.
const (
	PausedWorkers = "workers" // all workers are busy
	PausedError   = "error"   // accept failed, mostly for lack of descriptors
)

// Reloads counts the attempts to load a configuration. The first one, at start, counts as a success.
type Reloads struct {
	Succeeded   uint64    `json:"succeeded"`
	Refused     uint64    `json:"refused"`
	LastSuccess time.Time `json:"last_success,omitzero"` // zero: the first one is not active yet
	Problem     string    `json:"problem,omitempty"`     // why the last attempt was refused, the first errors one a line; empty: it was not
}

// Log is the state of the log.
type Log struct {
	Lost    uint64 `json:"entries_lost"`      // entries that were dropped; throttled ones do not count
	Problem string `json:"problem,omitempty"` // why it accepts no entries now; empty: it does

	Level      string    `json:"level"`                      // as in LogLevel
	Configured string    `json:"configured_level,omitempty"` // as in LogLevel
	Until      time.Time `json:"level_until,omitzero"`       // as in LogLevel
}

// Shortage is a time in which this machine lacks something that sessions need: descriptors, memory, local ports. It
// ends when the thing that failed works and nothing has failed for five seconds, or when nothing has failed for a
// minute.
type Shortage struct {
	Kind    string    `json:"kind"`          // one of relay.Lacks
	App     string    `json:"app,omitempty"` // empty: all apps
	Problem string    `json:"problem"`       // the last error
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"` // of the last failure
}

// Name is a name of targets and its addresses.
type Name struct {
	Name      string    `json:"name"`
	Addresses []string  `json:"addresses"`
	Refreshed time.Time `json:"refreshed,omitzero"` // time of the last answer
	Expires   time.Time `json:"expires,omitzero"`
	Overdue   float64   `json:"overdue_seconds,omitempty"` // how long the answer, or that of a host of SRV records, has been expired
	Problem   string    `json:"problem,omitempty"`         // why the last lookup failed, or found only a part; the addresses are the previous ones, if there were any
	Partial   bool      `json:"partial,omitempty"`         // the problem is not that there is no answer: a part is missing or cannot be used
	Since     time.Time `json:"since,omitzero"`            // since when lookups fail
}

// App is one app.
type App struct {
	Name     string            `json:"name"`
	Balance  string            `json:"balance"`
	Limits   *Limits           `json:"limits,omitempty"` // nil: none
	Ports    []Port            `json:"ports"`
	Targets  []Target          `json:"targets"`
	Active   int64             `json:"sessions_active"`
	Ended    map[string]uint64 `json:"sessions_ended"`    // by cause
	Refused  map[string]uint64 `json:"sessions_refused"`  // by the gate, by reason; their cause is "denied" or "limited"
	Sources  int               `json:"sources,omitempty"` // client addresses with state for limits
	Upload   int64             `json:"bytes_upload"`
	Download int64             `json:"bytes_download"`
	Connect  meter.Counts      `json:"-"`
	Session  meter.Counts      `json:"-"`
}

// Limits are those of an app, with the names that they have in the configuration. 0: no limit.
type Limits struct {
	MaxSessions                int             `json:"max_sessions,omitempty"`
	MaxSessionsPerSource       int             `json:"max_sessions_per_source,omitempty"`
	SessionsPerSecond          int             `json:"sessions_per_second,omitempty"`
	SessionsPerSecondPerSource int             `json:"sessions_per_second_per_source,omitempty"`
	BytesPerSecond             *BytesPerSecond `json:"bytes_per_second,omitempty"` // of a session; nil: no limit
}

// BytesPerSecond limits the bandwidth of a session. 0: no limit.
type BytesPerSecond struct {
	Upload   int `json:"upload,omitempty"`
	Download int `json:"download,omitempty"`
}

// Port is a listening socket. What a port took over from earlier ports, in a reload, is no socket of its own here.
type Port struct {
	Name    string `json:"name"`
	Address string `json:"address"`           // where it listens: IP:PORT, or "unix:" and a path
	Systemd bool   `json:"systemd,omitempty"` // systemd has made the socket and passed it
	Problem string `json:"problem,omitempty"` // why accepting fails; empty: it does not
}

// Target is one address that sessions go to.
type Target struct {
	Name        string            `json:"name"`    // unique in its app
	Address     string            `json:"address"` // as in the configuration: a name can be several targets
	State       upstream.State    `json:"state"`
	Untested    bool              `json:"untested,omitempty"` // it is alive only because no connect and no probe has succeeded or made it dead yet
	Since       time.Time         `json:"since"`              // of the state, or since it is no longer untested
	Reason      string            `json:"reason,omitempty"`   // why it is not alive
	Weight      int               `json:"weight"`
	Backup      bool              `json:"backup,omitempty"`
	MaxSessions int               `json:"max_sessions,omitempty"`
	Active      int64             `json:"sessions_active"`
	Sessions    uint64            `json:"sessions_total"`
	Upload      int64             `json:"bytes_upload"`
	Download    int64             `json:"bytes_download"`
	EarlyCloses uint64            `json:"early_closes"`                 // sessions that it ended within session.Early of the connect, without a byte for a client that had not finished
	Failures    map[string]uint64 `json:"connect_failures"`             // by reason
	Connect     float64           `json:"connect_seconds,omitempty"`    // smoothed; 0: not known
	Retry       float64           `json:"retry_in_seconds,omitempty"`   // until the next attempt at a dead target
	Second      float64           `json:"second_for_seconds,omitempty"` // how long an address that lost connection races is still tried after the other addresses of its name; 0: it is not
	Probe       *Probe            `json:"probe,omitempty"`              // nil: it was never probed
}

// Probe is the results of the probes of a target.
type Probe struct {
	Passed  uint64    `json:"passed"`
	Failed  uint64    `json:"failed"`
	Last    time.Time `json:"last"`
	Problem string    `json:"problem,omitempty"` // error of the last probe
}

// Event is a change of state, and its reason.
type Event struct {
	Number uint64    `json:"number"` // counted from 1; missing numbers were removed
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"` // one of the Event constants
	App    string    `json:"app,omitempty"`
	Target string    `json:"target,omitempty"`
	Port   string    `json:"port,omitempty"`
	Text   string    `json:"text"`
	Reason string    `json:"reason,omitempty"`
}

// The kinds of events.
const (
	EventTargetDead     = "target_dead"
	EventTargetBack     = "target_back"
	EventTargetDrained  = "target_drained" // or no longer drained
	EventNameFailing    = "name_failing"
	EventNameBack       = "name_back"
	EventPoolFull       = "pool_full"
	EventPoolFree       = "pool_free"
	EventAcceptFailing  = "accept_failing"
	EventConnectFailing = "connect_failing" // for lack of something on this machine
	EventAcceptResumed  = "accept_resumed"
	EventConnectResumed = "connect_resumed"
	EventShortage       = "shortage" // of anything but connects
	EventShortageOver   = "shortage_over"
	EventRefusals       = "refusals"
	EventReloaded       = "reloaded"
	EventReloadRefused  = "reload_refused"
	EventDraining       = "draining"  // the server drains, or no longer drains
	EventLogLevel       = "log_level" // an operator has set it, or it is the configured one again
	EventStopping       = "stopping"
	EventStarted        = "started"
)
