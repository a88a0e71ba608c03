package differential

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/iocopy"
	"tcp-proxy/internal/relay/loop"
	"tcp-proxy/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var engines = []struct {
	name  string
	start func(*admit.Workers, relay.Events) (relay.Engine, error)
}{
	{"copy", func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return iocopy.New(w, e) }},
	{"loop", func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return loop.New(w, e) }},
}

// TestEnginesAgree plays scripts for a few seconds, or for DIFFERENTIAL_DURATION ("1h"), from the seed
// DIFFERENTIAL_SEED on (else 1, or the time if a duration is given). A failure names its seed, and
// DIFFERENTIAL_SEED=that DIFFERENTIAL_SCRIPTS=1 plays it alone.
func TestEnginesAgree(t *testing.T) {
	length, first := 5*time.Second, uint64(1)
	if text := os.Getenv("DIFFERENTIAL_DURATION"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		first = uint64(time.Now().UnixNano())
	}
	first = number(t, "DIFFERENTIAL_SEED", first)
	most := number(t, "DIFFERENTIAL_SCRIPTS", 1<<62)

	if l, err := net.Listen("tcp", "127.0.0.1:0"); err != nil { // the runtime's own descriptors come with the first
		t.Fatal(err)
	} else {
		l.Close()
	}
	before := testkit.CountDescriptors(t)
	var next atomic.Uint64
	var all sync.WaitGroup
	end := time.Now().Add(length)
	for range 8 {
		all.Go(func() {
			stages := open(t)
			defer shut(t, stages)
			for time.Now().Before(end) && !t.Failed() {
				n := next.Add(1) - 1
				if n >= most {
					return
				}
				compare(t, stages, newScript(first+n))
			}
		})
	}
	all.Wait()
	t.Logf("%d scripts from seed %d on", next.Load(), first)
	after := 0
	testkit.Eventually(t, "the descriptors are given back", func() bool {
		runtime.GC() // Go keeps the pipes of its own splices until the garbage collector comes
		after = testkit.CountDescriptors(t)
		return after <= before
	}, func() any { return fmt.Sprintf("%d, %d before", after, before) })
}

func open(t *testing.T) []*stage {
	dir, err := os.MkdirTemp("", "differential-")
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var stages []*stage
	for _, e := range engines {
		st, err := newStage(e.name, dir, e.start)
		if err != nil {
			t.Error(err)
			break
		}
		stages = append(stages, st)
	}
	return stages
}

func shut(t *testing.T, stages []*stage) {
	for _, st := range stages {
		if err := st.close(); err != nil {
			t.Error(err)
		}
	}
}

func compare(t *testing.T, stages []*stage, s script) {
	var outcomes []outcome
	for _, st := range stages {
		o, err := st.play(s)
		if err != nil {
			t.Errorf("%v\n%v", err, s)
			return
		}
		outcomes = append(outcomes, o)
	}
	for i, o := range outcomes[1:] {
		if o != outcomes[0] {
			t.Errorf("%s: %+v\n%s: %+v\n%v", stages[0].name, outcomes[0], stages[i+1].name, o, s)
		}
	}
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
