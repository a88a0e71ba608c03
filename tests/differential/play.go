package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/enginetest"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// outcome is what is compared between engines. Counts are -1 where they may differ.
type outcome struct {
	Cause            relay.Cause
	Refused          admit.Refusal
	Client           string // by the PROXY header, if it has to begin with one
	Target           int    // which target the record names; -1: none
	Attempts         int
	Upload, Download int64
	Ends             [2]string // how each side saw the end
}

// stage is an engine on which scripts are played, one after another.
type stage struct {
	name    string
	engine  relay.Engine
	workers *admit.Workers
	records chan relay.Record
	dir     string
	scripts int
}

// newStage returns a stage; its unix sockets are in dir. The caller closes it.
func newStage(name, dir string, start func(*admit.Workers, relay.Events) (relay.Engine, error)) (*stage, error) {
	st := &stage{name: name, workers: admit.NewWorkers(8), records: make(chan relay.Record, 16), dir: dir}
	events := enginetest.NoEvents()
	events.Ended = func(r *relay.Record) { st.records <- *r }
	var err error
	st.engine, err = start(st.workers, events)
	return st, err
}

func (st *stage) close() error { return st.engine.Stop() }

// play plays a script and returns the outcome. An error means that the script could not be played to its end, or that bytes
// differ from those that were sent.
func (st *stage) play(s script) (o outcome, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("engine %s: %w", st.name, err)
		}
	}()
	st.scripts++
	listener, err := st.listen(s.unix[server])
	if err != nil {
		return o, err
	}
	defer listener.Close()
	front, err := st.listen(s.unix[client])
	if err != nil {
		return o, err
	}
	if s.narrow {
		if err := narrow(front); err != nil {
			return o, errors.Join(err, front.Close())
		}
	}
	route := s.route()
	var targets []config.Target
	for i := range s.dead {
		// No process listens on port 1, or at that path.
		a := config.Address{Network: "tcp", Host: fmt.Sprintf("127.0.0.%d", 1+i), Port: 1}
		if i == 1 {
			a = config.Address{Network: "unix", Path: filepath.Join(st.dir, "nobody")}
		}
		targets = append(targets, config.Target{Address: a, Weight: 1})
	}
	if s.alive {
		targets = append(targets, config.Target{Address: addressOf(listener), Weight: 1})
	}
	route.Targets = upstream.NewSet(targets, upstream.Policy{Retry: time.Hour}, nil)
	port := relay.NewPort("port", front)
	port.Route.Store(route)
	if err := st.engine.Open(port); err != nil {
		return o, err
	}
	all := route.Targets.All()
	ends, err := st.perform(s, front.Addr(), listener, all[len(all)-1])
	err = errors.Join(err, st.engine.Close(port))
	if err != nil {
		st.engine.End(relay.Stopped)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	err = errors.Join(err, st.engine.Wait(ctx))
	if err != nil {
		return o, err
	}
	record := <-st.records
	o = outcome{Cause: record.Cause, Refused: record.Refused, Target: -1, Attempts: record.Attempts, Upload: record.Upload, Download: record.Download, Ends: ends}
	if s.headerIn != 0 && (s.refused == "" || s.refused == denied) {
		o.Client = record.Client
	}
	if up, down := route.Meter.Bytes(); up != record.Upload || down != record.Download || route.Meter.Active() != 0 {
		return o, fmt.Errorf("the meter has %d bytes up and %d down and %d sessions, after %+v", up, down, route.Meter.Active(), record)
	}
	if n := route.Gate.Open(); n != 0 {
		return o, fmt.Errorf("%d clients are still inside", n)
	}
	for i, t := range targets {
		if t.Address.String() == record.Target {
			o.Target = i
		}
	}
	for i, t := range route.Targets.All() {
		if n := t.Sessions(); n != 0 {
			return o, fmt.Errorf("target %d still has %d sessions", i, n)
		}
	}
	if s.letIn() && !s.exact() {
		o.Upload, o.Download = -1, -1
	}
	if s.letIn() && !s.certain && s.ending == inOrder {
		if o.Cause != relay.ClientClosed && o.Cause != relay.TargetClosed {
			return o, fmt.Errorf("cause %s of a session that ended in order", o.Cause)
		}
		o.Cause = ""
	}
	return o, nil
}

// route is the policy of the script.
func (s script) route() *relay.Route {
	limits := admit.Policy{MaxSessions: 1, MaxSessionsPerSource: 1}
	if s.refused == denied {
		limits.Deny = config.NetworksOf(everywhere...)
	}
	r := &relay.Route{
		App:              "app",
		Gate:             admit.NewGate(limits, nil),
		ConnectTimeout:   testkit.Timeout,
		IdleTimeout:      s.idle,
		HalfCloseTimeout: s.halfOpen,
		MaxDuration:      s.longest,
		Upload:           s.rate[client],
		Download:         s.rate[server],
		SendProxy:        s.sent,
		Meter:            meter.NewApp(),
	}
	if s.headerIn != 0 {
		r.ProxyFrom, r.ProxyTimeout = admit.NewNetworks(everywhere), testkit.Timeout
	}
	return r
}

// letIn reports whether the client reaches a target.
func (s script) letIn() bool { return s.alive && s.refused == "" }

// exact reports whether everything that was sent is certain to arrive.
func (s script) exact() bool {
	var stalled [2]bool
	for _, x := range s.steps {
		switch x.do {
		case stall:
			stalled[x.side] = true
		case drain:
			stalled[x.side] = false
		}
	}
	return !stalled[0] && !stalled[1]
}

func (st *stage) listen(unix bool) (net.Listener, error) {
	if unix {
		return net.Listen("unix", filepath.Join(st.dir, fmt.Sprintf("%s-%d-%d", st.name, st.scripts, rand.Uint32())))
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// narrow makes the receive buffers of sockets that a TCP listener accepts small.
func narrow(l net.Listener) error {
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) {
		optErr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 8192)
	})
	return errors.Join(err, optErr)
}

func addressOf(l net.Listener) config.Address {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return config.Address{Network: "tcp", Host: tcp.IP.String(), Port: uint16(tcp.Port)}
	}
	return config.Address{Network: "unix", Path: l.Addr().String()}
}

// peer is one side of a script. A goroutine makes its writes in order, so that a blocked write does not block the script.
type peer struct {
	net.Conn
	sent, got *rand.ChaCha8 // what it sends, and what it is to receive
	buffer    []byte
	orders    chan func() error
	failed    error // by the goroutine, valid once done is closed
	done      chan struct{}
}

func newPeer(c net.Conn, sends, receives uint64) *peer {
	p := &peer{Conn: c, sent: pattern(sends), got: pattern(receives), buffer: make([]byte, 128<<10), orders: make(chan func() error, 64), done: make(chan struct{})}
	go p.write()
	return p
}

func pattern(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(key)
}

func (p *peer) write() {
	defer close(p.done)
	for order := range p.orders {
		if p.failed == nil {
			p.failed = order()
		}
	}
}

func (p *peer) send(n, size int) {
	p.orders <- func() error {
		chunk := make([]byte, size)
		for ; n > 0; n -= size {
			chunk = chunk[:min(n, size)]
			p.sent.Read(chunk)
			if _, err := p.Write(chunk); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
		return nil
	}
}

func (p *peer) finish() {
	p.orders <- func() error { return p.Conn.(interface{ CloseWrite() error }).CloseWrite() }
}

// receive reads n bytes, which must be those that the other side sends.
func (p *peer) receive(n int) error {
	for n > 0 {
		k, err := p.some(n)
		if err != nil {
			return fmt.Errorf("receive, %d bytes to go: %w", n, err)
		}
		n -= k
	}
	return nil
}

// some reads at most n available bytes, which must be the next ones that the other side sends.
func (p *peer) some(n int) (int, error) {
	half := len(p.buffer) / 2
	got, want := p.buffer[:half], p.buffer[half:]
	n, err := p.Read(got[:min(n, half)])
	p.got.Read(want[:n])
	if !bytes.Equal(got[:n], want[:n]) {
		return n, errors.New("other bytes arrive than were sent")
	}
	return n, err
}

// end reads to the end and says how it looks: "FIN" or "reset".
func (p *peer) end() (string, error) {
	for {
		switch _, err := p.some(len(p.buffer)); {
		case err == nil:
		case errors.Is(err, io.EOF):
			return "FIN", nil
		case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			return "reset", nil
		default:
			return "", err
		}
	}
}

// perform plays the script with the live target, and returns how each side saw the end.
func (st *stage) perform(s script, front net.Addr, back net.Listener, live *upstream.Target) (ends [2]string, err error) {
	c, err := net.Dial(front.Network(), front.String())
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(testkit.Timeout))
		err = s.introduce(c)
	}
	if !s.letIn() {
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return ends, st.over()
		}
		return ends, fmt.Errorf("refused with: %w", err)
	}
	if err != nil {
		return ends, err
	}
	back.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(testkit.Timeout))
	t, err := back.Accept()
	if err != nil {
		return ends, err
	}
	defer t.Close()
	t.SetDeadline(time.Now().Add(testkit.Timeout))
	if err := s.expectIntroduction(c, t); err != nil {
		return ends, err
	}
	peers := [2]*peer{newPeer(c, s.seed, s.seed+1), newPeer(t, s.seed+1, s.seed)}
	var quit sync.Once
	leave := func() {
		quit.Do(func() {
			for _, p := range peers {
				close(p.orders)
			}
		})
	}
	defer leave()

	var finished [2]bool
	stalled := [2]bool{}
	for i, x := range s.steps {
		if err := take(peers, x, &finished, &stalled); err != nil {
			return ends, fmt.Errorf("step %d, %s: %w", i, x.do, err)
		}
	}
	switch s.ending {
	case inOrder:
		leave()
		for side, p := range peers {
			<-p.done
			if p.failed != nil {
				return ends, fmt.Errorf("side %d: %w", side, p.failed)
			}
			how, err := p.end()
			if err != nil || how != "FIN" {
				return ends, fmt.Errorf("side %d: the end is %q, %v", side, how, err)
			}
			ends[side] = how
		}
		return ends, st.over()
	case byReset:
		p := peers[s.by]
		_ = testkit.Reset(p.Conn)
		ends[s.by] = "its own"
		return st.watchEnd(s, peers, ends, 1-s.by)
	case stopped:
		st.engine.End(relay.Stopped)
	case targetDead:
		// The target may know of the connection before the engine does.
		testkit.Within(testkit.Timeout, func() bool {
			st.engine.EndTarget(live, relay.TargetDead)
			return st.workers.Busy() == 0
		})
	}
	ends, err = st.watchEnd(s, peers, ends, client)
	if err != nil {
		return ends, err
	}
	return st.watchEnd(s, peers, ends, server)
}

// watchEnd waits for the end of the session and returns how a side sees it. A side that has read FIN before sees nothing
// more, and one with bytes on their way may lose them.
func (st *stage) watchEnd(s script, peers [2]*peer, ends [2]string, side int) ([2]string, error) {
	if err := st.over(); err != nil {
		return ends, err
	}
	how, err := peers[side].end()
	if err != nil {
		return ends, err
	}
	if s.exact() {
		ends[side] = how
	}
	return ends, nil
}

// take performs one step and waits for its effect.
func take(peers [2]*peer, x step, finished, stalled *[2]bool) error {
	from, to := peers[x.side], peers[1-x.side]
	switch x.do {
	case exchange:
		from.send(x.n, x.size)
		return to.receive(x.n)
	case cross:
		from.send(x.n, x.size)
		to.send(x.n, x.size)
		var other error
		var done sync.WaitGroup
		done.Go(func() { other = from.receive(x.n) })
		err := to.receive(x.n)
		done.Wait()
		return errors.Join(err, other)
	case stall:
		stalled[x.side] = true
		from.send(x.n, x.size)
	case drain:
		stalled[x.side] = false
		if err := to.receive(x.n); err != nil {
			return err
		}
		if finished[x.side] {
			return to.expectFIN()
		}
	case finish:
		finished[x.side] = true
		from.finish()
		if !stalled[x.side] {
			return to.expectFIN()
		}
	case pause:
		time.Sleep(time.Duration(x.n) * time.Millisecond)
	}
	return nil
}

func (p *peer) expectFIN() error {
	if n, err := p.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("read = %d, %w; want FIN", n, err)
	}
	return nil
}

// over waits until no session is open.
func (st *stage) over() error {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	if err := st.engine.Wait(ctx); err != nil {
		return fmt.Errorf("the session does not end: %w", err)
	}
	return nil
}
