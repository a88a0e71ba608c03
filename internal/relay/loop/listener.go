package loop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// listener is an open port.
type listener struct {
	port   *relay.Port
	fd     int // a duplicate of the port's, or every connection would wake the runtime's poller too
	number uint32
	rounds atomic.Uint64 // how often a loop has tried to accept
	heirs  *relay.Inheritance

	failing atomic.Bool // mirrors pause
	mu      sync.Mutex  // guards what follows
	pause   time.Duration
	since   time.Time // when accepting began to fail
}

// newListener takes over the port's listener, which is closed after an error.
func newListener(p *relay.Port) (*listener, error) {
	fd, err := duplicate(p.Listener)
	if err != nil {
		return nil, errors.Join(err, p.Listener.Close())
	}
	isUnix := p.Listener.Addr().Network() == "unix"
	heirs, err := relay.Inherit(fd, isUnix)
	if err != nil {
		return nil, errors.Join(err, p.Listener.Close(), unix.Close(fd))
	}
	if !isUnix { // the Close of a unix listener removes the path, and comes with ours
		if err := p.Listener.Close(); err != nil {
			return nil, errors.Join(err, unix.Close(fd))
		}
	}
	return &listener{port: p, fd: fd, heirs: heirs}, nil
}

func (x *listener) close() error {
	err := os.NewSyscallError("close", unix.Close(x.fd))
	if x.port.Listener.Addr().Network() == "unix" {
		err = errors.Join(err, x.port.Listener.Close())
	}
	return err
}

// Control implements relay.Engine.
func (e *Engine) Control(p *relay.Port, f func(fd int) error) error {
	e.mu.Lock() // Close takes the port away under it before it closes the descriptor
	defer e.mu.Unlock()
	x := e.ports[p]
	if x == nil {
		return fmt.Errorf("port %s: it is not open", p)
	}
	return f(x.fd)
}

func duplicate(l net.Listener) (dup int, err error) {
	err = linux.Control(l, func(fd int) error {
		dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	})
	if err != nil {
		return -1, fmt.Errorf("listener %s: %w", l.Addr(), err)
	}
	return dup, nil
}

// failed notes that accepting failed, reports that if it had worked before, and returns for how long to back off.
func (e *Engine) failed(x *listener, err error) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pause == 0 {
		x.since = time.Now()
		x.failing.Store(true)
		e.events.AcceptFailing(x.port, err)
	}
	x.pause = min(max(2*x.pause, firstPause), mostPause)
	return x.pause
}

// resumed records that accept works again.
func (e *Engine) resumed(x *listener) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pause == 0 {
		return
	}
	x.pause = 0
	x.failing.Store(false)
	e.events.AcceptResumed(x.port, time.Since(x.since))
}
