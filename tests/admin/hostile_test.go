package admin

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// Whatever clients of the admin API do, sessions go on, nothing of what they get is wrong, and those who ask properly at
// another address are answered.
func TestHostileClients(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(r.Echo())}}})
		load := newLoad(t, r, s.Address())
		for _, attack := range []struct {
			name string
			run  func(t *testing.T, address string)
		}{
			{"thousands that say nothing", silent},
			{"headers a byte at a time", dripping},
			{"headers without an end", endlessHeader},
			{"bodies without an end", endlessBody},
			{"half-open", halfOpen},
			{"answers that nobody reads", deaf},
			{"garbage", garbage},
			{"requests as fast as it goes", flood},
		} {
			before := load.rounds.Load()
			attack.run(t, s.tcp)
			if a := s.ask(http.MethodGet, "/api/v1/status"); a.code != http.StatusOK {
				t.Errorf("%s: the unix socket answers with %d", attack.name, a.code)
			}
			harness.Eventually(t, "the TCP address answers after "+attack.name, func() bool {
				a, err := request("tcp", s.tcp, http.MethodGet, "/metrics")
				return err == nil && a.code == http.StatusOK
			})
			harness.Eventually(t, "sessions go on during "+attack.name, func() bool { return load.rounds.Load() > before || load.failed.Load() })
		}
		load.end()
	})
}

// A load is clients that verify every byte.
type load struct {
	rounds       atomic.Int64
	done, failed atomic.Bool
	clients      sync.WaitGroup
}

func newLoad(t *testing.T, r *harness.Rig, address string) *load {
	l := &load{}
	for i := range 3 {
		l.clients.Go(func() {
			for seed := uint64(i); !l.done.Load(); seed += 3 {
				if err := l.round(r, address, seed); err != nil {
					l.failed.Store(true)
					t.Error(err)
					return
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) round(r *harness.Rig, address string, seed uint64) error {
	c, err := r.TryDial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	for range 20 {
		data := harness.Bytes(seed, 5000)
		if _, err := c.Write(data); err != nil {
			return err
		}
		got := make([]byte, len(data))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
			return fmt.Errorf("what comes back is not what was sent: %v", err)
		}
		l.rounds.Add(1)
	}
	return nil
}

func (l *load) end() {
	l.done.Store(true)
	l.clients.Wait()
}

// crowd opens n connections to an address and has f use each; they are closed at the end. Connections that are not taken
// are no fault.
func crowd(address string, n int, f func(c net.Conn)) {
	var all sync.WaitGroup
	places := make(chan bool, 200)
	for range n {
		places <- true
		all.Go(func() {
			defer func() { <-places }()
			c, err := net.DialTimeout("tcp", address, 2*time.Second)
			if err != nil {
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(3 * time.Second))
			f(c)
		})
	}
	all.Wait()
}

// gone waits until the other side ends the connection.
func gone(c net.Conn) { io.Copy(io.Discard, c) }

func silent(_ *testing.T, address string) {
	crowd(address, 2000, func(net.Conn) {})
	crowd(address, 300, gone)
}

func dripping(_ *testing.T, address string) {
	crowd(address, 300, func(c net.Conn) {
		for _, b := range []byte("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ") {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		gone(c)
	})
}

// mostOnTheWay is more than the buffers of the two sockets of a connection hold, and what a server reads that has had
// enough: of tcp_wmem and tcp_rmem in tcp(7), 4 and 6 MiB, about 4 are used.
const mostOnTheWay = 16 << 20

func endlessHeader(t *testing.T, address string) {
	crowd(address, 20, func(c net.Conn) {
		io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n")
		line := []byte("X-Header: " + string(bytes.Repeat([]byte("x"), 1000)) + "\r\n")
		for n := 0; ; n += len(line) {
			if _, err := c.Write(line); err != nil {
				return
			}
			if n > mostOnTheWay {
				t.Error("it takes a header without end")
				return
			}
		}
	})
}

func endlessBody(t *testing.T, address string) {
	crowd(address, 20, func(c net.Conn) {
		io.WriteString(c, "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunk := []byte("4000\r\n" + string(make([]byte, 0x4000)) + "\r\n")
		for n := 0; ; n += len(chunk) {
			if _, err := c.Write(chunk); err != nil {
				return
			}
			if n > mostOnTheWay {
				t.Error("it takes a body without end")
				return
			}
		}
	})
}

func halfOpen(_ *testing.T, address string) {
	crowd(address, 300, func(c net.Conn) {
		io.WriteString(c, "GET /metrics HTTP/1.1\r\n")
		c.(*net.TCPConn).CloseWrite()
		gone(c)
	})
}

func deaf(_ *testing.T, address string) {
	crowd(address, 300, func(c net.Conn) {
		c.(*net.TCPConn).SetReadBuffer(4096)
		for range 50 {
			if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	})
}

func garbage(_ *testing.T, address string) {
	crowd(address, 300, func(c net.Conn) {
		c.Write(harness.Bytes(1, 20_000))
		gone(c)
	})
}

func flood(_ *testing.T, address string) {
	end := time.Now().Add(2 * time.Second)
	crowd(address, 20, func(c net.Conn) {
		go gone(c)
		for time.Now().Before(end) {
			if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				return
			}
		}
	})
}

// A client that takes its time with a header is cut off, also if nobody else wants its place.
func TestSlowHeader(t *testing.T) {
	r := harness.New(t, "copy")
	s := see(r, harness.Config{Apps: []harness.App{{Targets: []any{r.Refuse()}}}})
	c, err := net.Dial("tcp", s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n")
		for {
			if _, err := io.WriteString(c, "X: y\r\n"); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	c.SetReadDeadline(time.Now().Add(harness.Timeout))
	if n, err := io.Copy(io.Discard, c); err != nil && isTimeout(err) {
		t.Errorf("it is still there, after %d bytes: %v", n, err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
