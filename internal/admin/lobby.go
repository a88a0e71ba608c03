package admin

import (
	"container/list"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A lobby is a listener that holds a bounded number of connections. When it is full, the one that has been there
// longest makes room for who comes, unless it is about an action; so nobody can keep others out by staying. More than
// acceptsPerSecond wait in the backlog of the kernel. Errors of accept are waited out.
type lobby struct {
	net.Listener
	most int
	pace *pace
	shut chan struct{} // closed by Close
	once sync.Once

	mu     sync.Mutex // guards guests
	guests *list.List // of *guest, the one that came first in front
}

// A guest is a connection in a lobby.
type guest struct {
	net.Conn
	lobby  *lobby
	place  *list.Element // nil once it is gone; guarded by lobby.mu
	acting atomic.Bool   // it is about an action, and must not be cut off
}

// guestKey is the key of a request's guest in its context.
type guestKey struct{}

func newLobby(l net.Listener, most int) *lobby {
	return &lobby{Listener: l, most: most, pace: newPace(acceptsPerSecond, acceptBurst), shut: make(chan struct{}), guests: list.New()}
}

// Accept waits for a connection that there is room for.
func (l *lobby) Accept() (net.Conn, error) {
	const first, most = 5 * time.Millisecond, time.Second
	for trouble := first; ; {
		if !l.pause(l.pace.wait(1)) {
			return nil, net.ErrClosed
		}
		conn, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil: // too few descriptors, mostly: the data plane tells of it
			if !l.pause(trouble) {
				return nil, net.ErrClosed
			}
			trouble = min(2*trouble, most)
			continue
		}
		trouble = first
		l.pace.charge(1)
		if g := l.welcome(conn); g != nil {
			return g, nil
		}
		conn.Close()
	}
}

// pause waits, and reports whether the lobby is still open.
func (l *lobby) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.shut:
		return false
	}
}

// Close takes no more connections.
func (l *lobby) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.shut)
		err = l.Listener.Close()
	})
	return err
}

// welcome takes a connection in, and returns nil if there is no room.
func (l *lobby) welcome(conn net.Conn) *guest {
	l.mu.Lock()
	if l.guests.Len() >= l.most && !l.makeRoom() {
		l.mu.Unlock()
		return nil
	}
	g := &guest{Conn: conn, lobby: l}
	g.place = l.guests.PushBack(g)
	l.mu.Unlock()
	return g
}

// makeRoom cuts off the guest that has been there longest. The caller holds mu.
func (l *lobby) makeRoom() bool {
	for e := l.guests.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*guest); !g.acting.Load() {
			l.guests.Remove(e)
			g.place = nil
			g.Conn.Close()
			return true
		}
	}
	return false
}

// empty cuts off all guests.
func (l *lobby) empty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.guests.Front(); e != nil; e = l.guests.Front() {
		l.guests.Remove(e)
		e.Value.(*guest).place = nil
		e.Value.(*guest).Conn.Close()
	}
}

// Close closes the connection and gives back its place.
func (g *guest) Close() error {
	g.lobby.mu.Lock()
	if g.place != nil {
		g.lobby.guests.Remove(g.place)
		g.place = nil
	}
	g.lobby.mu.Unlock()
	return g.Conn.Close()
}

// CloseWrite finishes what goes to the client, who may still be about to read why.
func (g *guest) CloseWrite() error {
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
