package upstream

// health is the result of the connects to a target and of its probes.
type health uint32

const (
	untested health = iota // no connect and no probe has succeeded yet; used like an alive one
	alive
	dead     // a connect or the probes failed; used when no live target can take the session
	retryDue // dead; the next session that picks it makes the half-open trial
	inTrial  // dead; a session makes the half-open trial
)

// live reports whether the balancer uses the target before the dead ones.
func (h health) live() bool { return h == untested || h == alive }

// event is what changes the health of a target.
type event int

const (
	onConnected      event = iota // a session connected
	onConnectFailed               // the connect of a session failed, and that was not the half-open trial
	onPicked                      // a session picked the target; if retryDue, it makes the half-open trial
	onTrialFailed                 // the connect of the half-open trial failed
	onTrialAbandoned              // the half-open trial ended without a result
	onRetryTime                   // the time of the next half-open trial has come
	onProbing                     // the configuration has probes bring dead targets back from now on
	onPass                        // a probe passed, but fewer than Policy.Rise in a row
	onRise                        // Policy.Rise probes in a row passed
	onFall                        // Policy.Fall probes in a row failed
)

// effect is what a transition does besides changing the health.
type effect int

const (
	noEffect  effect = iota
	diedNow          // the first half-open trial is due after Policy.Retry
	backedOff        // the next half-open trial is due after twice the previous wait, at most retryGrowth times Policy.Retry
	revived
	proved // the first connect or probe succeeded
)

type transition struct {
	to     health
	effect effect
}

// transitions is the state machine of the health of a target. Draining and Bar are no part of it: see Target.State.
var transitions = [...][5]transition{
	//                untested              alive              dead              retryDue              inTrial
	onConnected:      {{alive, proved}, {alive, noEffect}, {alive, revived}, {alive, revived}, {alive, revived}},
	onConnectFailed:  {{dead, diedNow}, {dead, diedNow}, {dead, noEffect}, {retryDue, noEffect}, {inTrial, noEffect}},
	onPicked:         {{untested, noEffect}, {alive, noEffect}, {dead, noEffect}, {inTrial, noEffect}, {inTrial, noEffect}},
	onTrialFailed:    {{dead, diedNow}, {dead, diedNow}, {dead, noEffect}, {retryDue, noEffect}, {dead, backedOff}},
	onTrialAbandoned: {{untested, noEffect}, {alive, noEffect}, {dead, noEffect}, {retryDue, noEffect}, {retryDue, noEffect}},
	onRetryTime:      {{untested, noEffect}, {alive, noEffect}, {retryDue, noEffect}, {retryDue, noEffect}, {inTrial, noEffect}},
	onProbing:        {{untested, noEffect}, {alive, noEffect}, {dead, noEffect}, {dead, noEffect}, {inTrial, noEffect}},
	onPass:           {{alive, proved}, {alive, noEffect}, {dead, noEffect}, {retryDue, noEffect}, {inTrial, noEffect}},
	onRise:           {{alive, proved}, {alive, noEffect}, {alive, revived}, {alive, revived}, {alive, revived}},
	onFall:           {{dead, diedNow}, {dead, diedNow}, {dead, noEffect}, {retryDue, noEffect}, {inTrial, noEffect}},
}
