package loop

import (
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// door is a loop's end of a listener, which all loops have. The kernel wakes one of them for a connection
// (EPOLLEXCLUSIVE), level-triggered: what it leaves is told again.
type door struct {
	*listener
	state doorState
	place *admit.Waiter // while it waits for a worker
	until int64         // while it rests
}

type doorState uint8

const (
	shut     doorState = iota
	watching           // registered with epoll
	waiting            // for a worker; the kernel's backlog holds who comes
	resting            // after an error
)

// openDoor begins to accept from a listener.
func (l *loop) openDoor(x *listener) error {
	for int(x.number) >= len(l.doors) {
		l.doors = append(l.doors, nil)
	}
	d := &door{listener: x}
	l.doors[x.number] = d
	return l.watchDoor(d)
}

// closeDoor ends that.
func (l *loop) closeDoor(x *listener) {
	d := l.doors[x.number]
	l.doors[x.number] = nil
	switch d.state {
	case watching:
		l.unwatchDoor(d)
	case waiting:
		d.place.Cancel() // or granted will be called, and finds the door shut
	case resting:
		l.resting--
	}
	d.state = shut
}

func (l *loop) watchDoor(d *door) error {
	err := l.epoll.Add(d.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, special|uint64(d.number))
	if err == nil {
		d.state = watching
	}
	return err
}

func (l *loop) unwatchDoor(d *door) {
	_ = l.epoll.Remove(d.fd) // fails only if it is not there
}

// acceptBatch is how many connections a turn takes from a port that has some, given how many events it has: a turn
// that does little comes back soon, and to try once more than there are is a call for nothing.
func acceptBatch(events int) int { return 1 + events/4 }

// acceptsPerTurn is how many connections a turn takes at most, or an order.
const acceptsPerTurn = 128

// accept takes up to batch connections that wait at a door.
func (l *loop) accept(d *door, batch int) {
	if d == nil || d.state != watching {
		return
	}
	for range batch {
		if !l.engine.workers.TryAcquire() {
			l.await(d)
			return
		}
		if !l.admit(d) {
			return
		}
	}
}

// await waits for a worker. Meanwhile nothing is accepted.
func (l *loop) await(d *door) {
	if d.state == watching {
		l.unwatchDoor(d)
	}
	d.state = waiting
	d.place = l.engine.workers.Request(func() {
		l.inbox.post(func() { l.granted(d) })
	})
	if d.place == nil {
		l.granted(d)
	}
}

// granted is called with a worker that the door has waited for.
func (l *loop) granted(d *door) {
	d.place = nil
	if d.state == shut {
		l.engine.workers.Release()
		return
	}
	for n := 1; l.admit(d) && n < acceptsPerTurn; n++ {
		if !l.engine.workers.TryAcquire() {
			l.await(d)
			return
		}
	}
	if d.state == waiting { // nobody else is there
		if err := l.watchDoor(d); err != nil {
			l.rest(d, err)
		}
	}
}

// admit accepts one connection, with a worker that was taken for it. It reports false if there is none.
func (l *loop) admit(d *door) bool {
	d.rounds.Add(1)
	fd, errno := linux.Accept(d.fd, &l.peer)
	for errno == unix.EINTR || errno == unix.ECONNABORTED {
		fd, errno = linux.Accept(d.fd, &l.peer)
	}
	if errno != 0 {
		l.engine.workers.Release()
		if errno != unix.EAGAIN {
			l.rest(d, os.NewSyscallError("accept4", errno))
		}
		return false
	}
	if d.failing.Load() {
		l.engine.resumed(d.listener)
	}
	if d.heirs.Lacks() {
		d.heirs.Complete(fd, d.port.Route.Load().Keepalive)
	}
	l.engine.open.Enter()
	begun := l.engine.clock()
	to := l.engine.choose(l)
	to.open.Add(1)
	if to == l {
		l.begin(fd, d.port, &l.peer, begun)
		return true
	}
	peer := l.peer
	to.inbox.post(func() { to.begin(fd, d.port, &peer, begun) })
	return true
}

// begin makes a session of a connection that was accepted, with a worker.
func (l *loop) begin(fd int, port *relay.Port, peer *unix.RawSockaddrAny, begun int64) {
	s := l.slab.take()
	s.state, s.begun = connecting, begun
	s.until, s.rivalUntil, s.alone = never, never, never
	s.side[client].fd = int32(fd)
	known := s.setPeer(peer)
	b := l.slab.besideOf(s)
	b.port, b.route = port, port.Route.Load()
	b.approach.Begin(b.route, &l.engine.events)
	if err := l.watch(s, client); err != nil {
		l.end(s, relay.Internal, err)
		return
	}
	if !known {
		l.end(s, relay.Internal, relay.ErrNoPeer)
		return
	}
	if peer := s.peerAddr(); b.approach.Near(peer) {
		if cause, err := b.approach.Meet(netip.AddrPortFrom(peer, s.peerPort), fd); cause != "" {
			l.end(s, cause, err)
			return
		}
	}
	if b.route.WantsHeader(s.peerAddr()) {
		l.greet(s, b)
		return
	}
	l.enter(s, b)
}

// enter asks whether the client may come in, and takes it to a target.
func (l *loop) enter(s *session, b *beside) {
	cause, decided := b.approach.Knock(s.clientAddr(b))
	if !decided {
		l.reconsider(s)
		return
	}
	l.entered(s, b, cause)
}

// rest leaves the door alone for a while, since accepting fails. The descriptors of idle pipes may help.
func (l *loop) rest(d *door, err error) {
	if d.state == watching {
		l.unwatchDoor(d)
	}
	l.pipes.trim(0)
	d.state = resting
	d.until = l.engine.clock() + int64(l.engine.failed(d.listener, err))
	l.resting++
	if l.resting == 1 || d.until < l.wake {
		l.wake = d.until
	}
}

// wakeDoors is the moment to call reopen at, or -1.
func (l *loop) wakeDoors() int64 {
	if l.resting == 0 {
		return -1
	}
	return l.wake
}

// reopen watches the doors again that have rested.
func (l *loop) reopen() {
	if l.resting == 0 || l.now < l.wake {
		return
	}
	l.wake = never
	tried := 0
	for _, d := range l.doors {
		if d == nil || d.state != resting {
			continue
		}
		if d.until > l.now || tried == acceptsPerTurn {
			l.wake = min(l.wake, d.until)
			continue
		}
		tried++
		if l.watchDoor(d) == nil {
			l.resting--
			continue
		}
		d.until = l.now + int64(mostPause)
		l.wake = min(l.wake, d.until)
	}
}

// How long accepting pauses after an error: at first, and at most.
const (
	firstPause = 5 * time.Millisecond
	mostPause  = time.Second
)
