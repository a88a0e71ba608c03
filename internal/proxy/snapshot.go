package proxy

import (
	"errors"
	"time"

	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/upstream"
)

// SnapshotVersion is the version of Snapshot's shape: it changes when a field goes away or means something else, not
// when one is added.
const SnapshotVersion = 1

// What DrainTarget may not find.
var (
	ErrNoApp    = errors.New("no such app")
	ErrNoTarget = errors.New("no such target")
)

// Snapshot is the state of a server. It shares nothing with the server and belongs to the caller. Its JSON is the body of
// /api/v1/status; durations are seconds there, and sizes bytes.
type Snapshot struct {
	Version   int               `json:"version"`
	Taken     time.Time         `json:"taken"`
	Started   time.Time         `json:"started"` // when the server began to accept
	State     Stage             `json:"state"`
	Engine    string            `json:"engine"`
	Workers   Workers           `json:"workers"`
	Reloads   Reloads           `json:"reloads"`
	Log       Log               `json:"log"`
	Shortages []Shortage        `json:"shortages"`       // that last, the longest first
	Lacked    map[string]uint64 `json:"shortages_total"` // how often something failed for a lack of this machine's, by its kind
	Names     []Name            `json:"names"`           // of targets, that are looked up
	Apps      []App             `json:"apps"`
	Events    []Event           `json:"events"` // oldest first; of those that repeat, the oldest have gone
}

// Stage is what a server is about.
type Stage string

// The stages. A server that drains still serves, but is not ready: whoever sends it connections shall stop to.
const (
	Starting Stage = "starting"
	Serving  Stage = "serving"
	Draining Stage = "draining"
	Stopping Stage = "stopping"
)

// Workers is the pool.
type Workers struct {
	Busy   int               `json:"busy"`
	Max    int               `json:"max"`
	Paused map[string]uint64 `json:"paused"` // how often accepting had to pause, by reason: one of the Paused constants
}

// Why accepting pauses.
const (
	PausedWorkers = "workers" // all are busy
	PausedError   = "error"   // accept fails, for want of descriptors mostly
)

// Reloads is what became of attempts to load another configuration. The first one, from the start, counts as a
// success.
type Reloads struct {
	Succeeded   uint64    `json:"succeeded"`
	Refused     uint64    `json:"refused"`
	LastSuccess time.Time `json:"last_success"`
	Problem     string    `json:"problem,omitempty"` // why the last attempt was refused, the first mistakes one a line; empty if it was not
}

// Log is how the log is doing.
type Log struct {
	Lost    uint64 `json:"entries_lost"`      // that it did not take; those that throttling leaves out are not among them
	Problem string `json:"problem,omitempty"` // why it takes no entries now; empty if it does
}

// Shortage is a time in which this machine lacks something that sessions need: descriptors, memory, local ports. It is over
// when what failed works and nothing has failed for five seconds, or when nothing has for a minute.
type Shortage struct {
	Kind    string    `json:"kind"`          // one of relay.Lacks: what fails
	App     string    `json:"app,omitempty"` // whose; empty: of any
	Problem string    `json:"problem"`       // the last error
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"` // when something failed last
}

// Name is a name of targets and what it stands for.
type Name struct {
	Name      string    `json:"name"`
	Addresses []string  `json:"addresses"`
	Refreshed time.Time `json:"refreshed,omitzero"` // when the last answer came
	Expires   time.Time `json:"expires,omitzero"`
	Overdue   float64   `json:"overdue_seconds,omitempty"` // for how long the answer, or that of a host of SRV records, has been out of date
	Problem   string    `json:"problem,omitempty"`         // why the last lookup gave nothing; the addresses are those of before
	Since     time.Time `json:"since,omitzero"`            // when that began
}

// App is one app.
type App struct {
	Name     string            `json:"name"`
	Balance  string            `json:"balance"`
	Ports    []Port            `json:"ports"`
	Targets  []Target          `json:"targets"`
	Active   int64             `json:"sessions_active"`
	Ended    map[string]uint64 `json:"sessions_ended"`    // by cause
	Refused  map[string]uint64 `json:"sessions_refused"`  // at the door, by reason; they have ended as "denied" or "limited"
	Sources  int               `json:"sources,omitempty"` // client addresses that limits are kept for
	Upload   int64             `json:"bytes_upload"`
	Download int64             `json:"bytes_download"`
	Connect  meter.Counts      `json:"-"`
	Session  meter.Counts      `json:"-"`
}

// Port is a listening socket.
type Port struct {
	Name    string `json:"name"`
	Problem string `json:"problem,omitempty"` // why accepting fails; empty if it does not
}

// Target is one address that sessions go to.
type Target struct {
	Name        string            `json:"name"`    // unique in its app
	Address     string            `json:"address"` // as the configuration has it: a name may give several targets
	State       upstream.State    `json:"state"`
	Since       time.Time         `json:"since"`
	Reason      string            `json:"reason,omitempty"` // why it is not alive
	Weight      int               `json:"weight"`
	Backup      bool              `json:"backup,omitempty"`
	MaxSessions int               `json:"max_sessions,omitempty"`
	Active      int64             `json:"sessions_active"`
	Sessions    uint64            `json:"sessions_total"`
	EarlyCloses uint64            `json:"early_closes"`                 // sessions that it ended within relay.Early of the connect, without a byte for a client that had not finished
	Failures    map[string]uint64 `json:"connect_failures"`             // by reason
	Connect     float64           `json:"connect_seconds,omitempty"`    // smoothed; 0: not known
	Retry       float64           `json:"retry_in_seconds,omitempty"`   // until a dead one is tried again
	Second      float64           `json:"second_for_seconds,omitempty"` // how long an address of a name is still tried after the others of that name, which answer sooner; 0: it is not
	Probe       *Probe            `json:"probe,omitempty"`              // nil if it was never probed
}

// Probe is what the probes of a target found.
type Probe struct {
	Passed  uint64    `json:"passed"`
	Failed  uint64    `json:"failed"`
	Last    time.Time `json:"last"`
	Problem string    `json:"problem,omitempty"` // what the last one found wrong
}

// Event is a change of state, why, and since when.
type Event struct {
	Number uint64    `json:"number"` // all are counted from 1; those that are missing have gone
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
	EventTargetDrained  = "target_drained" // or taken back from that
	EventNameFailing    = "name_failing"
	EventNameBack       = "name_back"
	EventPoolFull       = "pool_full"
	EventPoolFree       = "pool_free"
	EventAcceptFailing  = "accept_failing"
	EventConnectFailing = "connect_failing" // for a fault of this machine
	EventAcceptResumed  = "accept_resumed"
	EventConnectResumed = "connect_resumed"
	EventShortage       = "shortage" // of something that sessions need beside connections to targets
	EventShortageOver   = "shortage_over"
	EventRefusals       = "refusals"
	EventReloaded       = "reloaded"
	EventReloadRefused  = "reload_refused"
	EventDraining       = "draining" // the node, or taken back from that
	EventStopping       = "stopping"
	EventStarted        = "started"
)
