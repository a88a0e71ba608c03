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

// How long a picture is shown: for pictureAge, and for long enough that drawing takes no more than one part in
// drawingShare of a processor, however many ask.
const (
	pictureAge   = 250 * time.Millisecond
	drawingShare = 10
)

// pictures draws a snapshot for all who ask at a time. It is safe for concurrent use.
type pictures struct {
	take   func() proxy.Snapshot
	gather *gatherer

	mu      sync.Mutex // held while drawing: who asks meanwhile gets what is drawn
	current *picture   // nil: there is none
}

// picture is a snapshot and what was drawn of it so far.
type picture struct {
	snapshot proxy.Snapshot
	taken    time.Time
	spent    time.Duration // on taking and drawing it
	drawn    map[view]body
}

// view is what a snapshot can be drawn as.
type view string

const (
	statusView  view = "status"
	metricsView view = "metrics"
)

// body is an answer, which nobody changes.
type body struct{ plain, gzipped []byte }

func newPictures(take func() proxy.Snapshot, version string) *pictures {
	return &pictures{take: take, gather: newGatherer(version)}
}

// draw gives a view of the node, not older than the picture is shown.
func (p *pictures) draw(v view, gzipped bool) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil || time.Since(p.current.taken) > max(pictureAge, drawingShare*p.current.spent) {
		begun := time.Now()
		p.current = &picture{snapshot: p.take(), taken: begun, drawn: map[view]body{}}
		p.current.spent = time.Since(begun)
	}
	pic := p.current
	b, begun := pic.drawn[v], time.Now()
	defer func() {
		pic.drawn[v] = b
		pic.spent += time.Since(begun)
	}()
	var err error
	if b.plain == nil {
		if b.plain, err = p.plain(v, &pic.snapshot); err != nil {
			return nil, fmt.Errorf("draw %s: %w", v, err)
		}
	}
	if !gzipped {
		return b.plain, nil
	}
	if b.gzipped == nil {
		b.gzipped = squeeze(b.plain)
	}
	return b.gzipped, nil
}

func (p *pictures) plain(v view, s *proxy.Snapshot) ([]byte, error) {
	if v == metricsView {
		return p.gather.text(s)
	}
	text, err := json.Marshal(s)
	return append(text, '\n'), err
}

// outdate has who asks next get a new picture: something was just changed.
func (p *pictures) outdate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current = nil
}

// squeeze compresses for speed: a scrape has much that repeats.
func squeeze(plain []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // there is such a level
	w.Write(plain)                                  // into memory: that cannot fail
	w.Close()
	return b.Bytes()
}
