package iocopy

import (
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// endings knows which sessions have ended, in the kernel or for this engine, while their slots still count, because their
// goroutines have not run yet: a client that has seen the end may connect again before that. It has an epoll instance that
// nobody waits for; it is read before a client is refused because of the number of sessions. It contains only sessions that
// count for such a limit.
type endings struct {
	mu       sync.Mutex // guards what follows, and the instance's Wait
	epoll    *linux.Epoll
	sessions map[uint64]*ending
	last     uint64
}

// ending is a session as endings knows it.
type ending struct {
	app    string
	number uint64
	gone   chan struct{} // closed when its slots are given back
	hungUp [2]bool       // the client, the target: it has finished or is broken
	since  time.Time     // when it was found to have ended; zero: it has not
}

// The sides of an ending, in hungUp and in the lowest bit of an event.
const (
	ofClient = 0
	ofTarget = 1
)

// stuck is how long a session that has ended may keep others waiting. Its peers have finished, but one of them does not
// read what is still to be sent.
const stuck = time.Second

func newEndings() (*endings, error) {
	epoll, err := linux.NewEpoll()
	if err != nil {
		return nil, err
	}
	return &endings{epoll: epoll, sessions: map[uint64]*ending{}}, nil
}

// close gives the instance back. No session is in it.
func (x *endings) close() error { return x.epoll.Close() }

// add adds a session of an app.
func (x *endings) add(app string) *ending {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last++
	e := &ending{app: app, number: x.last, gone: make(chan struct{})}
	x.sessions[e.number] = e
	return e
}

// register makes the kernel report when a side of the session finishes or breaks, until it is closed. If that fails, the
// session counts until its goroutine has ended.
func (x *endings) register(e *ending, side uint64, conn syscall.RawConn) {
	_ = conn.Control(func(fd uintptr) {
		_ = x.epoll.Add(int(fd), unix.EPOLLRDHUP|unix.EPOLLET, e.number<<1|side)
	})
}

// over reports that this engine has ended the session. It is called before the client can see that.
func (x *endings) over(e *ending) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.found()
}

func (e *ending) found() {
	if e.since.IsZero() {
		e.since = time.Now()
	}
}

// remove removes a session whose slots are given back.
func (x *endings) remove(e *ending) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.sessions, e.number)
	close(e.gone)
}

// await waits until the sessions of an app that have ended by now are removed, or done is closed.
func (x *endings) await(app string, done <-chan struct{}) {
	for _, e := range x.ofApp(app) {
		timer := time.NewTimer(time.Until(e.since.Add(stuck)))
		select {
		case <-e.gone:
		case <-timer.C:
		case <-done:
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// ofApp returns the sessions of an app that have ended and are not removed, except those that are stuck.
func (x *endings) ofApp(app string) []*ending {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.take()
	var ended []*ending
	for _, e := range x.sessions {
		if e.app == app && !e.since.IsZero() && time.Since(e.since) < stuck {
			ended = append(ended, e)
		}
	}
	return ended
}

// take reads what the kernel has reported. The caller holds mu.
func (x *endings) take() {
	for {
		events, err := x.epoll.Wait(0)
		if err != nil {
			return // epoll_wait(2): only for a mistake in the call
		}
		for i := range events {
			data := linux.EventData(&events[i])
			e := x.sessions[data>>1]
			if e == nil {
				continue
			}
			side := data & 1
			e.hungUp[side] = true
			broken := events[i].Events&unix.EPOLLERR != 0
			if broken || e.hungUp[1-side] {
				e.found()
			}
		}
		if len(events) < linux.EpollBatch {
			return
		}
	}
}
