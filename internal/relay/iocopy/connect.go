package iocopy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
	"tcp-proxy/internal/upstream"
)

// dial is an attempt to connect to a target.
type dial struct {
	side   int // session.Target or session.Racing; guarded by the runner's mu
	target *upstream.Target
	cancel context.CancelCauseFunc         // gives it up, for a reason that is its error then
	socket atomic.Pointer[syscall.RawConn] // that is being connected; nil: there is none yet
	done   chan<- answer                   // has room for the answer
}

// answer is what became of a dial.
type answer struct {
	dial *dial
	conn stream // nil if there is an error
	err  error
}

// connect connects the session to a target. It reports false if the session has ended.
func (r *runner) connect() bool {
	answers := make(chan answer, len(r.dials))
	for {
		switch r.pick(answers) {
		case session.AwaitSlot:
			if !r.awaitSlot() {
				return false
			}
			continue
		case session.Abort:
			return false
		}
		for again := false; !again; {
			a := <-answers // a dial ends when the session does
			switch r.answered(a, answers) {
			case session.Connect:
				again = true
			case session.Abort:
				r.giveUp(answers)
				return false
			case session.SendHeader:
				return r.sendProxyHeader()
			case session.Relay:
				return true
			}
		}
	}
}

// pick begins to connect to the next target.
func (r *runner) pick(answers chan<- answer) session.Action {
	r.mu.Lock()
	t, action := r.session.Pick(r.now())
	r.do(action)
	var d *dial
	var run func()
	if action == session.Connect {
		d, run = r.newDial(session.Target, t, answers)
	}
	alone := d != nil && !r.session.MayRace()
	r.mu.Unlock()
	switch {
	case alone:
		run()
	case d != nil:
		go run()
	}
	return action
}

// race begins to connect to another address of the name of the target that has not answered yet. The caller holds mu.
func (r *runner) race(now int64) {
	t := r.session.Race(now)
	if t == nil {
		return
	}
	_, run := r.newDial(session.Racing, t, r.dials[0].done)
	go run()
}

// awaitSlot waits for a slot on a target. It reports false if the session ends before there is one.
func (r *runner) awaitSlot() bool {
	granted := make(chan struct{})
	r.mu.Lock()
	if !r.settled {
		r.session.Await(r.now(), func() { close(granted) })
		r.rearm()
	}
	r.mu.Unlock()
	select {
	case <-granted:
	case <-r.ctx.Done():
		return false
	}
	return session.Connect == r.decide(func(s *session.Session, _ int64) session.Action { return s.OnGranted() })
}

// answered takes in the answer of a dial. After Connect the next target is to be picked, after Wait and Promote the other
// dial goes on.
func (r *runner) answered(a answer, answers <-chan answer) session.Action {
	if r.ctx.Err() != nil {
		r.discard(a)
		return session.Abort
	}
	reset := session.WasReset(a.err)
	if a.err != nil && !reset {
		return r.failed(a)
	}
	silent := r.closeOther(a.dial, answers)
	if reset {
		return r.decide(func(s *session.Session, now int64) session.Action {
			r.remove(a.dial)
			return s.OnConnectReset(a.dial.side, a.err, silent, now)
		})
	}
	return r.connected(a, silent)
}

// failed takes in the error of a dial.
func (r *runner) failed(a answer) session.Action {
	return r.decide(func(s *session.Session, now int64) session.Action {
		r.remove(a.dial)
		action := s.OnConnectFailed(a.dial.side, a.err, now)
		if action == session.Promote {
			r.promote()
		}
		return action
	})
}

// connected makes the connection of a dial the session's.
func (r *runner) connected(a answer, silent bool) session.Action {
	r.mu.Lock()
	fromHere := r.session.FromHere()
	if fromHere {
		r.session.OnDialled(a.dial.side, addressOf(a.conn.LocalAddr()))
	}
	r.mu.Unlock()
	if fromHere && !r.checkCircle() {
		r.discard(a)
		return session.Abort
	}
	x := newSide(a.conn, session.Target)
	x.own = synLength
	return r.decide(func(s *session.Session, now int64) session.Action {
		r.remove(a.dial)
		action := s.OnConnected(a.dial.side, silent, now)
		if action == session.Abort {
			x.abort()
			return action
		}
		r.target = x
		if r.ending != nil {
			r.engine.endings.register(r.ending, ofTarget, x.raw)
		}
		if r.client.byHand {
			r.client.SetReadDeadline(longAgo)
		}
		return action
	})
}

// synLength is what SYN counts for in linux.Acknowledged.
const synLength = 1

// closeOther gives up the dial that another has beaten, if there is one, and reports whether it had no answer yet.
func (r *runner) closeOther(won *dial, answers <-chan answer) (silent bool) {
	r.mu.Lock()
	var lost *dial
	for _, d := range r.dials {
		if d != nil && d != won {
			lost = d
			d.cancel(nil)
		}
	}
	r.mu.Unlock()
	if lost == nil {
		return false
	}
	b := <-answers
	r.discard(b)
	return b.conn == nil && r.ctx.Err() == nil
}

// giveUp waits for the dials of a session that has ended.
func (r *runner) giveUp(answers <-chan answer) {
	for {
		r.mu.Lock()
		left := r.dials[0] != nil || r.dials[1] != nil
		r.mu.Unlock()
		if !left {
			return
		}
		r.discard(<-answers)
	}
}

// discard resets the connection of a dial that is of no use.
func (r *runner) discard(a answer) {
	if a.conn != nil {
		newSide(a.conn, session.Target).abort()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(a.dial)
}

// remove forgets a dial. The caller holds mu.
func (r *runner) remove(d *dial) {
	for i := range r.dials {
		if r.dials[i] == d {
			r.dials[i] = nil
		}
	}
}

// promote makes the racing dial the target's. The caller holds mu.
func (r *runner) promote() {
	r.dials[0], r.dials[1] = r.dials[1], nil
	r.dials[0].side = session.Target
}

// newDial makes the dial of a side. run connects, and puts the answer into done. The caller holds mu.
func (r *runner) newDial(side int, t *upstream.Target, done chan<- answer) (d *dial, run func()) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	d = &dial{side: side, target: t, cancel: cancel, done: done}
	r.dials[side-session.Target] = d
	return d, func() {
		defer cancel(nil)
		conn, err := r.dial(ctx, d)
		done <- answer{d, conn, err}
	}
}

func (r *runner) dial(ctx context.Context, d *dial) (stream, error) {
	k := r.route.Keepalive
	dialer := net.Dialer{KeepAlive: -1}
	if k.Enabled {
		dialer.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: k.Idle, Interval: k.Interval, Count: k.Count}
	}
	dialer.SetMultipathTCP(false)
	dialer.Control = func(network, address string, c syscall.RawConn) error {
		d.socket.Store(&c)
		return prepare(r.route, network, address, c)
	}
	network, address := "tcp", d.target.Addr.String()
	if d.target.Path != "" {
		network, address = "unix", d.target.Path
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		var op *net.OpError
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.As(err, &op):
			err = op.Err // the rest, the session says in its own words
		}
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(-1) // fails only if the connection is broken, which the pumps will see
	}
	return conn.(stream), nil
}

// prepare sets up the socket of a connect before it begins. A connection that the dialer gives up, though it is established
// already, is to be reset (socket(7), SO_LINGER): the session that it was for has ended, and its client was reset as well.
func prepare(route *relay.Route, network, address string, c syscall.RawConn) error {
	if network == "unix" {
		return c.Control(func(fd uintptr) { linux.Inline(int(fd)) })
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	var optErr error
	err = c.Control(func(fd uintptr) {
		linux.Inline(int(fd))
		err := unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		optErr = errors.Join(os.NewSyscallError("setsockopt SO_LINGER", err), route.BindSource(int(fd), to.Addr()))
	})
	return errors.Join(err, optErr)
}
