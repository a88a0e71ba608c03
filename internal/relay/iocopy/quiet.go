package iocopy

import (
	"io"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/linux"
)

// quiet is how long no byte was relayed and no side has finished. A pump that waits for its rate is not quiet. For TCP
// sockets the kernel knows; between two unix sockets the session counts itself. The caller holds mu.
func (r *runner) quiet(now int64) time.Duration {
	if r.pausing > 0 {
		return 0
	}
	quiet := time.Duration(now - max(r.state.LastMoved(), r.wrote.Load()))
	for _, x := range []*side{r.client, r.target} {
		if q, err := linux.Quiet(x.raw); err == nil {
			quiet = min(quiet, q)
		}
	}
	return quiet
}

// writer is what a pump writes to: the bare connection, so that Go splices; between two unix sockets, which Go does not
// splice, a writer that records how much was written and when.
func (r *runner) writer(to *side) io.Writer {
	if !r.client.unix || !r.target.unix {
		return to.stream
	}
	return noting{to, r.begun, &r.wrote}
}

type noting struct {
	*side
	begun time.Time
	wrote *atomic.Int64
}

func (n noting) Write(p []byte) (int, error) {
	done, err := n.stream.Write(p)
	if done > 0 {
		n.noted.Add(int64(done))
		n.wrote.Store(int64(time.Since(n.begun)))
	}
	return done, err
}
