package admin

import (
	"errors"
	"net"
	"sync"
	"time"

	"tcp-proxy/internal/config"
)

// A limitedListener accepts from one socket the connections that its lobby has room for. Accept errors, mostly for want
// of descriptors, are retried with back-off. http.Server gets no error but net.ErrClosed.
type limitedListener struct {
	net.Listener
	lobby  *lobby
	port   config.Port   // that the socket was made for
	closed chan struct{} // closed by Close
	once   sync.Once
}

func newLimitedListener(l net.Listener, port config.Port, lobby *lobby) *limitedListener {
	return &limitedListener{Listener: l, lobby: lobby, port: port, closed: make(chan struct{})}
}

// Accept waits for a connection that there is room for.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.lobby.seats <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	g, err := l.accept()
	if err != nil {
		<-l.lobby.seats
		return nil, err
	}
	g.seated = true
	return g, nil
}

func (l *limitedListener) accept() (*guest, error) {
	const first, most = 5 * time.Millisecond, time.Second
	for trouble := first; ; {
		if !l.pause(l.lobby.pace.wait(1)) {
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
		l.lobby.pace.charge(1)
		if g := l.lobby.welcome(conn); g != nil {
			return g, nil
		}
		conn.Close()
	}
}

// pause waits, and reports whether the listener is still open.
func (l *limitedListener) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.closed:
		return false
	}
}

// Close takes no more connections.
func (l *limitedListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}
