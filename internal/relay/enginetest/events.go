// Package enginetest drives the engines as the proxy does, over real sockets: every test runs on each of them. What only
// one engine has is tested here too where it can be seen from outside; the rest beside its code.
//
// A test counts the descriptors of its process, so every test of an engine has a process of its own (testkit.Apart), and
// they run in parallel.
package enginetest

import (
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// NoEvents are events that nobody looks at. A test replaces those that it looks at.
func NoEvents() relay.Events {
	return relay.Events{
		Ended:         func(*relay.Record) {},
		ConnectFailed: func(*relay.Route, *upstream.Target, error, bool) {},
		Connected:     func(*relay.Route) {},
		LoopDetected:  func(*relay.Route, *upstream.Target) {},
		TargetBack:    func(*relay.Route, *upstream.Target) {},
		Demoted:       func(*relay.Route, *upstream.Target) {},
		AcceptFailing: func(*relay.Port, error) {},
		AcceptResumed: func(*relay.Port, time.Duration) {},
		Short:         func(relay.Lack, *relay.Route, error) {},
		Works:         func(relay.Lack, *relay.Route) {},
	}
}
