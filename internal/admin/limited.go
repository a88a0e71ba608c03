package admin

import (
	"errors"
	"net"
	"sync"
	"time"

	"tcp-proxy/internal/config"
)

// A limitedListener accepts from one socket the connections that its limiter has room for. Accept errors, mostly for want
// of descriptors, are retried with back-off. http.Server gets no error but net.ErrClosed.
//
// netutil.LimitListener does not fit: it bounds one socket, keeps new connections out when idle ones fill it, and hides the
// CloseWrite that http.Server needs.
type limitedListener struct {
	net.Listener
	limiter *limiter
	port    config.Port   // that the socket was made for
	closed  chan struct{} // closed by Close
	once    sync.Once
}

func newLimitedListener(l net.Listener, port config.Port, limiter *limiter) *limitedListener {
	return &limitedListener{Listener: l, limiter: limiter, port: port, closed: make(chan struct{})}
}

// Accept returns the next connection that the limiter has room for.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.limiter.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.accept()
	if err != nil {
		<-l.limiter.slots
		return nil, err
	}
	c.hasSlot = true
	return c, nil
}

func (l *limitedListener) accept() (*conn, error) {
	const first, longest = 5 * time.Millisecond, time.Second
	for delay := first; ; {
		if !l.pause(l.limiter.accepts.Reserve().Delay()) {
			return nil, net.ErrClosed
		}
		accepted, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil: // mostly too few descriptors; the engine logs that
			if !l.pause(delay) {
				return nil, net.ErrClosed
			}
			delay = min(2*delay, longest)
			continue
		}
		delay = first
		if c := l.limiter.add(accepted); c != nil {
			return c, nil
		}
		accepted.Close()
	}
}

// pause waits for d, and reports whether the listener is still open.
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

// Close stops accepting. Connections that were accepted stay open.
func (l *limitedListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}
