package admin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"tcp-proxy/internal/proxy"
)

// How long a rendering is served: for renderingAge, and for long enough that rendering takes no more than one part in
// renderingShare of a processor, however many requests there are.
const (
	renderingAge   = 250 * time.Millisecond
	renderingShare = 10
)

// renderings renders a snapshot once for all requests of a short time. It is safe for concurrent use.
type renderings struct {
	take   func() proxy.Snapshot
	gather *gatherer

	mu      sync.Mutex // held while rendering; requests that come meanwhile get the result
	current *rendering // nil: there is none
}

// rendering is a snapshot with the views that were rendered of it so far.
type rendering struct {
	snapshot proxy.Snapshot
	taken    time.Time
	spent    time.Duration // on taking and rendering it
	texts    map[view]body
}

// view is a form in which a snapshot can be rendered.
type view string

const (
	statusView  view = "status"
	metricsView view = "metrics"
)

// body is the body of an answer. Its bytes do not change; gzipped is made when it is first needed.
type body struct{ plain, gzipped []byte }

// in returns the body as it is sent.
func (b *body) in(gzipped bool) []byte {
	if !gzipped {
		return b.plain
	}
	if b.gzipped == nil {
		b.gzipped = compress(b.plain)
	}
	return b.gzipped
}

func newRenderings(take func() proxy.Snapshot, version string) *renderings {
	return &renderings{take: take, gather: newGatherer(version)}
}

// render returns a view of the node, from the current rendering or a new one.
func (p *renderings) render(v view, gzipped bool) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil || time.Since(p.current.taken) > max(renderingAge, renderingShare*p.current.spent) {
		begun := time.Now()
		p.current = &rendering{snapshot: p.take(), taken: begun, texts: map[view]body{}}
		p.current.spent = time.Since(begun)
	}
	r := p.current
	b, begun := r.texts[v], time.Now()
	defer func() {
		r.texts[v] = b
		r.spent += time.Since(begun)
	}()
	var err error
	if b.plain == nil {
		if b.plain, err = p.plain(v, &r.snapshot); err != nil {
			return nil, fmt.Errorf("render %s: %w", v, err)
		}
	}
	return b.in(gzipped), nil
}

// of returns render for a view.
func (p *renderings) of(v view) func(gzipped bool) ([]byte, error) {
	return func(gzipped bool) ([]byte, error) { return p.render(v, gzipped) }
}

func (p *renderings) plain(v view, s *proxy.Snapshot) ([]byte, error) {
	if v == metricsView {
		return p.gather.text(s)
	}
	text, err := json.Marshal(s)
	return append(text, '\n'), err
}

// invalidate makes the next request render again: something was just changed.
func (p *renderings) invalidate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current = nil
}

// compress compresses with gzip at its fastest level: metrics have much that repeats.
func compress(plain []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is valid
	w.Write(plain)                                  // into memory, which cannot fail
	w.Close()
	return b.Bytes()
}
