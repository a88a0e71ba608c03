package enginetest

import (
	"net"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/iocopy"
	"tcp-proxy/internal/relay/loop"
	"tcp-proxy/internal/testkit"
)

// processes is how many tests run at a time: most of what they do is to wait for time-outs.
const processes = 16

func TestMain(m *testing.M) {
	testkit.ParallelProcesses(processes)
	l, err := net.Listen("tcp", "127.0.0.1:0") // the runtime's own descriptors come with the first
	if err != nil {
		panic(err)
	}
	l.Close()
	goleak.VerifyTestMain(m)
}

// engine is a kind of engine.
type engine struct {
	name       string
	start      func(*admit.Workers, relay.Events) (relay.Engine, error)
	perSession int // descriptors
}

var engines = []engine{
	{
		name:       "copy",
		start:      func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return iocopy.New(w, e) },
		perSession: iocopy.DescriptorsPerSession,
	},
	{
		name:       "loop",
		start:      func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return loop.New(w, e) },
		perSession: loop.DescriptorsPerSession,
	},
	{name: "restless", start: startRestless, perSession: loop.DescriptorsPerSession},
}

// resting are the engines for tests that measure the process, or a connect: a connect that is under way begins anew when its
// session goes on in another engine.
var resting = []string{"copy", "loop"}

// eachEngine runs a test on every engine, or on those of the given names, each in a process of its own. A test calls it
// once, and everything that it opens it opens in the function that it gives.
func eachEngine(t *testing.T, test func(*testing.T, engine), names ...string) {
	testkit.Parallel(t)
	for _, e := range engines {
		if len(names) == 0 || slices.Contains(names, e.name) {
			t.Run(e.name, func(t *testing.T) {
				testkit.Apart(t, func(t *testing.T) { test(t, e) })
			})
		}
	}
}

// eachTCP runs a test on every engine, or on those of the given names, with a rig whose sockets are all TCP.
func eachTCP(t *testing.T, change func(*relay.Route), test func(*rig), names ...string) {
	eachEngine(t, func(t *testing.T, e engine) { test(newRig(t, e, "tcp", "tcp", change)) }, names...)
}

// transports are the kinds of sockets of the client and the target.
var transports = [][2]string{{"tcp", "tcp"}, {"tcp", "unix"}, {"unix", "tcp"}, {"unix", "unix"}}

// eachTransport runs a test on every engine with every pair of sockets.
func eachTransport(t *testing.T, change func(*relay.Route), test func(*rig)) {
	eachEngine(t, func(t *testing.T, e engine) { e.eachTransport(t, change, test) })
}

// eachTransport runs a test on this engine with every pair of sockets.
func (e engine) eachTransport(t *testing.T, change func(*relay.Route), test func(*rig)) {
	for _, x := range transports {
		t.Run(x[0]+" to "+x[1], func(t *testing.T) { test(newRig(t, e, x[0], x[1], change)) })
	}
}
