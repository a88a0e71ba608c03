package upstream

// health is what connects and probes have shown of a target.
type health uint32

const (
	alive   health = iota
	dead           // and not to be tried while another can take the session
	due            // dead, and the next session that it is picked for is its trial
	onTrial        // dead, and a session tries it
)

// event is what happens to a target's health.
type event int

const (
	connectStood   event = iota // of any session
	connectFailed               // of a session that was not the trial
	trialBegan                  // a session goes to the target: the trial, if one is due
	trialFailed                 // the connect of the session that was the trial
	trialAbandoned              // that session is over, and nothing is known
	retryCame                   // the time of the next trial has come
	retryEnded                  // probes do it from now on
	risen                       // probes passed as often as it takes
	fallen                      // probes failed as often as it takes
)

// effect is what comes of an event beside another health.
type effect int

const (
	nothing effect = iota
	killed         // the first trial is due after Policy.Retry
	waits          // the next trial is due after twice the wait before this one, at most ten times Policy.Retry
	revived
)

type step struct {
	to   health
	with effect
}

// steps is the state machine of a target's health. What the operator wants of it lies above: see Target.State.
var steps = [...][4]step{
	//                alive             dead             due                 onTrial
	connectStood:   {{alive, nothing}, {alive, revived}, {alive, revived}, {alive, revived}},
	connectFailed:  {{dead, killed}, {dead, nothing}, {due, nothing}, {onTrial, nothing}},
	trialBegan:     {{alive, nothing}, {dead, nothing}, {onTrial, nothing}, {onTrial, nothing}},
	trialFailed:    {{dead, killed}, {dead, nothing}, {due, nothing}, {dead, waits}},
	trialAbandoned: {{alive, nothing}, {dead, nothing}, {due, nothing}, {due, nothing}},
	retryCame:      {{alive, nothing}, {due, nothing}, {due, nothing}, {onTrial, nothing}},
	retryEnded:     {{alive, nothing}, {dead, nothing}, {dead, nothing}, {onTrial, nothing}},
	risen:          {{alive, nothing}, {alive, revived}, {alive, revived}, {alive, revived}},
	fallen:         {{dead, killed}, {dead, nothing}, {due, nothing}, {onTrial, nothing}},
}
