package handover

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Notes are what is good to know and what no session depends on. Each member stands for itself: a release takes those that it
// knows.
type Notes struct {
	Draining      bool              `json:"draining,omitempty"`  // an operator has asked the proxy to report that it is not ready
	LogLevel      *LogLevel         `json:"log_level,omitempty"` // an operator has set one
	Targets       []TargetNotes     `json:"targets,omitempty"`
	Apps          []AppNotes        `json:"apps,omitempty"`
	Process       map[string]uint64 `json:"process,omitempty"` // counters of the process, by the names of their metrics
	Origins       []Origin          `json:"origins,omitempty"`
	Configuration []File            `json:"configuration,omitempty"` // the files of the active configuration
}

// LogLevel is the level that an operator has set in place of the configured one.
type LogLevel struct {
	Level string `json:"level"`
	Until int64  `json:"until,omitempty"` // 0: it does not end by itself
	By    string `json:"by,omitempty"`    // who has set it
}

// TargetNotes are the marks and counters of a target. Only an operator's drain keeps sessions away after a handover; the
// rest is a beginning, which connects and probes soon correct.
type TargetNotes struct {
	App          string           `json:"app"`
	Name         string           `json:"name"` // as Target.Name
	Drained      bool             `json:"drained,omitempty"`
	Untested     bool             `json:"untested,omitempty"`
	Dead         bool             `json:"dead,omitempty"`
	Since        int64            `json:"since,omitempty"`         // when that has begun
	Error        string           `json:"error,omitempty"`         // of a dead target
	RetryAt      int64            `json:"retry_at,omitempty"`      // its half-open trial
	DemotedUntil int64            `json:"demoted_until,omitempty"` // its address has lost races
	Sessions     int64            `json:"sessions,omitempty"`      // that were connected
	ClosedEarly  int64            `json:"closed_early,omitempty"`
	Failures     map[string]int64 `json:"failures,omitempty"` // of connects, by reason
	Upload       int64            `json:"upload,omitempty"`   // bytes
	Download     int64            `json:"download,omitempty"`
	ProbesPassed int64            `json:"probes_passed,omitempty"`
	ProbesFailed int64            `json:"probes_failed,omitempty"`
}

// AppNotes are the counters of an app.
type AppNotes struct {
	App      string            `json:"app"`
	Upload   int64             `json:"upload,omitempty"` // bytes
	Download int64             `json:"download,omitempty"`
	Causes   map[string]uint64 `json:"causes,omitempty"`  // sessions that have ended, by cause
	Refused  map[string]uint64 `json:"refused,omitempty"` // by reason
	Connect  Histogram         `json:"connect"`           // from accept until a target was connected
	Session  Histogram         `json:"session"`           // from accept to the end
}

// Histogram is a meter.Histogram.
type Histogram struct {
	Bounds []int64  `json:"bounds,omitempty"` // upper bounds of the buckets, in nanoseconds
	Counts []uint64 `json:"counts,omitempty"` // of each bucket, and of one more above the last bound
	Sum    int64    `json:"sum,omitempty"`    // nanoseconds
}

// Origin says through which apps of the proxy a session has come from the proxy itself, in their order.
type Origin struct {
	Session uint64   `json:"session"` // its ID
	Apps    []string `json:"apps"`
}

// File is a file of a configuration.
type File struct {
	Name    string `json:"name"`
	Content []byte `json:"content"`
}

// append appends the notes as JSON.
func (n *Notes) append(b []byte) ([]byte, error) {
	text, err := json.Marshal(n)
	return append(b, text...), err
}

// read reads the notes and returns the members that it could not read.
func (n *Notes) read(b []byte) (unread []string) {
	if len(b) == 0 {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(b, &members) != nil {
		return []string{"notes"}
	}
	all := reflect.ValueOf(n).Elem()
	for i := range all.NumField() {
		name := memberName(all.Type().Field(i))
		value := members[name]
		if value == nil {
			continue
		}
		if json.Unmarshal(value, all.Field(i).Addr().Interface()) != nil {
			all.Field(i).SetZero()
			unread = append(unread, name)
		}
	}
	return unread
}

// memberName is the name of a member by its tag.
func memberName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
