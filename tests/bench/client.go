package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the client does with its sessions once they are open.
const (
	loadExchange = "exchange" // on each session, once all are open: a request, its response, the next request
	loadDownload = "download" // reads all it can
	loadUpload   = "upload"   // writes all it can
	loadConnect  = "connect"  // each place connects, exchanges once, closes, and begins again
	loadIdle     = "idle"     // exchanges once, then holds the session open
)

// clientOrder tells a client what to do. It is its only argument, as JSON.
type clientOrder struct {
	Load     string
	Sessions int
	Size     int // of a request and of its response, in bytes
	Limit    int // loadConnect: report and stop after so many connections; 0: no limit
	To       []netip.AddrPort
	Sources  []netip.Addr // loadConnect: source addresses, taken in turn
	OpenTime time.Duration
}

// A client speaks JSON lines on its standard output: one clientOpen when all its sessions are open (or cannot be), and
// one clientResult for each measured interval. On its standard input it takes one byte a command; its end is its own.
const (
	commandStart = 's' // begin to measure
	commandStop  = 'e' // report
)

type clientOpen struct {
	Failed string // why not all sessions could be opened; "" if they are
}

type clientResult struct {
	Seconds        float64
	Operations     uint64
	Bytes          uint64
	P50, P99, P999 float64 // latency of an operation, in nanoseconds
	Live           int     // sessions open at the end
	Broken         int     // sessions, or short connections, that failed
	Error          string  // of the first that failed
}

// opensInFlight bounds the connections that are being opened at one time, well below any listener's backlog.
const opensInFlight = 128

type phase uint8

// The zero phase is that of a descriptor that is no session: a begin must not take it for one.
const (
	phaseClosed phase = iota
	phaseConnecting
	phaseSending   // sent of the request's bytes are written
	phaseReceiving // have of the response's bytes were read
	phaseMoving    // bulk
	phaseIdle
)

// session is one connection of the client, found by its descriptor.
type session struct {
	place      int // which of the order's sessions this is
	phase      phase
	opened     bool // has been counted in client.opened
	sent, have int
	began      int64 // nanoseconds of the client's clock: of the request, or for loadConnect of connect
}

// client is one thread with one epoll loop for all its sessions.
type client struct {
	order    clientOrder
	poll     *poller
	clock    time.Time
	to       []*unix.SockaddrInet4
	sources  []*unix.SockaddrInet4
	sessions []session // by descriptor
	request  []byte    // and what each response must equal
	scratch  []byte

	started   int // sessions for which connect was called
	opened    int
	live      int
	finished  int // loadConnect: connections that ended well
	announced bool
	ended     bool

	measuring bool
	since     time.Time
	latency   histogram
	result    clientResult
	broken    int
	firstErr  error
}

// runClient executes its order until its standard input ends.
func runClient(order clientOrder) error {
	poll, err := newPoller()
	if err != nil {
		return err
	}
	c := &client{order: order, poll: poll, clock: time.Now(),
		request: make([]byte, max(order.Size, bulkChunk)), scratch: make([]byte, max(order.Size, bulkChunk))}
	for i := range c.request {
		c.request[i] = byte(i*7 + i>>8)
	}
	for _, a := range order.To {
		c.to = append(c.to, sockaddr(a))
	}
	for _, a := range order.Sources {
		c.sources = append(c.sources, sockaddr(netip.AddrPortFrom(a, 0)))
	}
	if err := poll.add(0, unix.EPOLLIN); err != nil {
		return err
	}
	for c.started < min(order.Sessions, opensInFlight) {
		c.open(c.started)
	}
	for {
		timeout := -1
		if !c.announced {
			timeout = 100
		}
		events, err := poll.wait(timeout)
		if err != nil {
			return err
		}
		for _, ev := range events {
			if ev.Fd == 0 {
				if end, err := c.command(); end || err != nil {
					return err
				}
				continue
			}
			c.step(int(ev.Fd), ev.Events)
		}
		if err := errors.Join(c.announce(), c.announceEnd()); err != nil {
			return err
		}
	}
}

// now is the client's clock in nanoseconds.
func (c *client) now() int64 { return int64(time.Since(c.clock)) }

// announce says once that the sessions are open, or that they will not be.
func (c *client) announce() error {
	if c.announced {
		return nil
	}
	var said clientOpen
	switch {
	case c.opened >= c.order.Sessions:
	case c.broken > 0:
		said.Failed = fmt.Sprintf("%d of %d sessions opened, then: %v", c.opened, c.order.Sessions, c.firstErr)
	case time.Since(c.clock) > c.order.OpenTime:
		said.Failed = fmt.Sprintf("%d of %d sessions opened within %v", c.opened, c.order.Sessions, c.order.OpenTime)
	default:
		return nil
	}
	c.announced = true
	return json.NewEncoder(os.Stdout).Encode(said)
}

// command obeys one byte of standard input; end is true when there is no more.
func (c *client) command() (end bool, err error) {
	var b [1]byte
	n, errno := rawRead(0, b[:])
	if errno != 0 || n == 0 {
		return true, nil
	}
	switch b[0] {
	case commandStart:
		c.measuring, c.since = true, time.Now()
		c.latency.reset()
		c.result = clientResult{}
	case commandStop:
		return false, c.report()
	}
	return false, nil
}

// report ends the measured interval and says what it gave.
func (c *client) report() error {
	c.measuring = false
	c.result.Seconds = time.Since(c.since).Seconds()
	c.result.P50 = c.latency.quantile(0.50)
	c.result.P99 = c.latency.quantile(0.99)
	c.result.P999 = c.latency.quantile(0.999)
	c.result.Live, c.result.Broken = c.live, c.broken
	if c.firstErr != nil {
		c.result.Error = c.firstErr.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(c.result)
}

// announceEnd reports, once and unasked, when an order with a limit is done or will never be.
func (c *client) announceEnd() error {
	if c.order.Limit == 0 || c.ended || c.finished < c.order.Limit && c.broken == 0 {
		return nil
	}
	c.ended = true
	return c.report()
}

// open begins the session of a place.
func (c *client) open(place int) {
	c.started++
	began := c.now()
	var source *unix.SockaddrInet4
	if len(c.sources) > 0 {
		source = c.sources[place%len(c.sources)]
	}
	fd, err := dialTCP(source, c.to[c.started%len(c.to)])
	if err != nil {
		c.lost(err)
		return
	}
	for fd >= len(c.sessions) {
		c.sessions = append(c.sessions, session{})
	}
	c.sessions[fd] = session{place: place, phase: phaseConnecting, began: began}
	events := uint32(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET)
	switch c.order.Load {
	case loadDownload:
		events = unix.EPOLLIN
	case loadUpload:
		events = unix.EPOLLOUT
	}
	if err := c.poll.add(fd, events); err != nil {
		rawClose(fd)
		c.lost(err)
		return
	}
	c.live++
	if c.order.Load == loadConnect {
		c.send(fd) // loopback is often connected by now
	}
}

// lost counts a failed session and keeps the first reason.
func (c *client) lost(err error) {
	c.broken++
	if c.firstErr == nil {
		c.firstErr = err
	}
}

// fail closes a session that is broken. Its place stays empty: one failure makes the measurement void anyway.
func (c *client) fail(fd int, err error) {
	c.shut(fd)
	c.lost(err)
}

func (c *client) shut(fd int) {
	c.sessions[fd].phase = phaseClosed
	c.live--
	rawClose(fd)
}

// isOpen counts the session as open, and begins the next one while there are any to begin.
func (c *client) isOpen(s *session) {
	if s.opened {
		return
	}
	s.opened = true
	c.opened++
	if c.order.Load != loadConnect && c.started < c.order.Sessions {
		c.open(c.started)
	}
}

var errWrongBytes = errors.New("the response is not the request")

// step handles one event of one session.
func (c *client) step(fd int, events uint32) {
	if fd >= len(c.sessions) || c.sessions[fd].phase == phaseClosed {
		return
	}
	if events&unix.EPOLLERR != 0 {
		c.fail(fd, fmt.Errorf("session: %w", socketError(fd)))
		return
	}
	switch c.sessions[fd].phase {
	case phaseConnecting:
		if c.order.Load == loadDownload || c.order.Load == loadUpload {
			c.move(fd)
			return
		}
		c.send(fd)
	case phaseSending:
		c.send(fd)
	case phaseReceiving:
		c.receive(fd)
	case phaseMoving:
		c.move(fd)
	case phaseIdle:
		if events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 {
			c.fail(fd, errors.New("an idle session was closed"))
		}
	}
}

// send writes what is left of the request.
func (c *client) send(fd int) {
	s := &c.sessions[fd]
	if s.phase == phaseConnecting {
		s.phase = phaseSending
		if c.order.Load != loadConnect {
			s.began = c.now()
		}
	}
	n, errno := rawWrite(fd, c.request[s.sent:c.order.Size])
	switch errno {
	case 0:
		if s.sent += n; s.sent == c.order.Size {
			s.phase, s.have = phaseReceiving, 0
		}
	case unix.EAGAIN, unix.ENOTCONN:
	default:
		c.fail(fd, fmt.Errorf("write: %w", errno))
	}
}

// receive reads what has come of the response and acts when it is whole.
func (c *client) receive(fd int) {
	s := &c.sessions[fd]
	n, errno := rawRead(fd, c.scratch[:c.order.Size-s.have])
	if !c.arrived(fd, n, errno) {
		return
	}
	if string(c.scratch[:n]) != string(c.request[s.have:s.have+n]) {
		c.fail(fd, errWrongBytes)
		return
	}
	if s.have += n; s.have < c.order.Size {
		return
	}
	ended := c.now()
	if c.measuring {
		c.latency.record(ended - s.began)
		c.result.Operations++
		c.result.Bytes += uint64(c.order.Size)
	}
	switch c.order.Load {
	case loadExchange:
		if s.opened {
			s.phase, s.sent, s.began = phaseSending, 0, ended
			c.send(fd)
			return
		}
		s.phase = phaseIdle
		c.isOpen(s)
		if c.opened == c.order.Sessions {
			c.begin()
		}
	case loadIdle:
		s.phase = phaseIdle
		c.isOpen(s)
	case loadConnect:
		place := s.place
		c.isOpen(s)
		c.shut(fd)
		c.finished++
		if c.order.Limit == 0 || c.started < c.order.Limit {
			c.open(place)
		}
	}
}

// begin sends the first request of the load on every session. Until then an open session is idle, or opening the last
// of many would take as long as the load of all others makes it.
func (c *client) begin() {
	for fd := range c.sessions {
		if s := &c.sessions[fd]; s.phase == phaseIdle {
			s.phase, s.sent, s.began = phaseSending, 0, c.now()
			c.send(fd)
		}
	}
}

// move discards or writes one chunk, so that no stream gets ahead of the others by more.
func (c *client) move(fd int) {
	s := &c.sessions[fd]
	s.phase = phaseMoving
	var n int
	var errno syscall.Errno
	if c.order.Load == loadDownload {
		n, errno = rawDiscard(fd, c.scratch)
	} else {
		n, errno = rawWrite(fd, c.scratch)
	}
	if !c.arrived(fd, n, errno) {
		return
	}
	if c.measuring {
		c.result.Bytes += uint64(n)
	}
	c.isOpen(s)
}

// arrived reports whether a call moved bytes; if it says that the session is over, the session is failed.
func (c *client) arrived(fd, n int, errno syscall.Errno) bool {
	switch {
	case errno == unix.EAGAIN:
	case errno != 0:
		c.fail(fd, fmt.Errorf("session: %w", errno))
	case n == 0:
		c.fail(fd, errors.New("the proxy closed a session"))
	default:
		return true
	}
	return false
}
