package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// urgent sends bytes of which the last is urgent (tcp(7); MSG_OOB of send(2)).
func urgent(to stream, p string) error {
	raw, err := to.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Send(int(fd), []byte(p), unix.MSG_OOB)
		return sendErr != unix.EAGAIN
	})
	return errors.Join(err, sendErr)
}

// say sends a text in which what comes before each "!", with it, ends with an urgent byte.
func (r *rig) say(to stream, text string) {
	r.Helper()
	for part := range strings.SplitAfterSeq(text, "!") {
		var err error
		if strings.HasSuffix(part, "!") {
			err = urgent(to, part)
		} else if part != "" {
			_, err = io.WriteString(to, part)
		}
		if err != nil {
			r.Fatal(err)
		}
	}
}

func (r *rig) hear(from stream, want string) {
	r.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(from, got); err != nil || string(got) != want {
		r.Fatalf("%q, %v; want %q", got[:n], err, want)
	}
}

// said are texts with an urgent byte at every place: alone, first, last, one after another.
var said = []string{"!", "!behind", "before!", "before!behind", "!!", "a!!b", "a!b!c!", "!a!"}

// Urgent data arrives in its place, whichever side sends it, and makes nothing wait that comes behind it.
func TestUrgentData(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
		client, server := r.session()
		n := 0
		for range 20 {
			for _, text := range said {
				r.say(client, text)
				r.hear(server, text)
				r.say(server, text)
				r.hear(client, text)
				n += len(text)
			}
		}
		if rec := r.finish(client, server); rec.Upload != int64(n) || rec.Download != int64(n) {
			r.Errorf("%+v, want %d bytes each way", rec, n)
		}
	})
}

// Urgent data just before the end is read like all else: what is left unread makes a close a reset, and destroys what
// is still on its way.
func TestUrgentDataBeforeTheEnd(t *testing.T) {
	const size = 300_000
	eachTransport(t, nil, func(r *rig) {
		for _, text := range said {
			for range 5 {
				client, server := r.session()
				r.say(client, text)
				client.CloseWrite()
				r.hear(server, text)
				r.expectEOF(server)
				sent := make(chan error, 1)
				go func() {
					err := send(server, 1, size, size)
					if err == nil {
						err = urgent(server, "!")
					}
					server.Close()
					sent <- err
				}()
				if err := receive(client, 1, size); err != nil {
					r.Fatalf("%q: %v", text, err)
				}
				r.hear(client, "!")
				r.expectEOF(client)
				client.Close()
				if err := <-sent; err != nil {
					r.Fatal(err)
				}
				if rec := r.expectCause(relay.ClientClosed); rec.Upload != int64(len(text)) || rec.Download != size+1 {
					r.Errorf("%q: %+v", text, rec)
				}
			}
		}
	})
}

// Urgent data that is there before there is a session is no other.
func TestUrgentDataBeforeAccepted(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
		for _, finished := range []bool{false, true} {
			for _, text := range said {
				release := r.take()
				client := r.dial()
				r.say(client, text)
				if finished {
					client.CloseWrite()
				}
				release()
				server := r.accept()
				r.hear(server, text)
				r.finish(client, server)
			}
		}
	})
}

// A connection that was made before its port is opened has all that others inherit from their listener; so have those of
// a listener that hands on nothing. Of an urgent byte that nobody has read, and is the next to be, the kernel lets go when
// another comes before the option is set (tcp_check_urg() in net/ipv4/tcp_input.c): nothing can be done about that.
func TestWhatIsNotInherited(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, kind := range []string{"tcp", "unix", "mptcp"} {
			t.Run(kind, func(t *testing.T) {
				network := strings.TrimPrefix(kind, "mp")
				r := newRig(t, e, network, "tcp", func(r *relay.Route) {
					r.Keepalive = linux.Keepalive{Enabled: true, Idle: time.Hour, Interval: time.Minute, Count: 3}
				})
				for _, text := range said {
					if strings.HasPrefix(text, "!") && strings.Count(text, "!") > 1 {
						continue
					}
					later := relay.NewPort("later", listen(t, network))
					if kind == "mptcp" {
						later.Listener = listenMultipath(t, later.Listener)
					}
					later.Route.Store(r.port.Route.Load())
					address := later.Listener.Addr().String()
					dial := func() stream {
						c, err := net.Dial(network, address)
						if err != nil {
							t.Fatal(err)
						}
						return r.adopt(c)
					}
					client := dial()
					r.say(client, text)
					if err := r.engine.Open(later); err != nil {
						t.Fatal(err)
					}
					for i := range 5 {
						if i > 0 {
							client = dial()
							r.say(client, text)
						}
						server := r.accept()
						r.hear(server, text)
						if kind == "tcp" && i == 0 {
							r.expectOptions(client)
						}
						r.finish(client, server)
					}
					if err := r.engine.Close(later); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	})
}

// listenMultipath listens in another's place, with Multipath TCP.
func listenMultipath(t *testing.T, instead net.Listener) net.Listener {
	t.Helper()
	address := instead.Addr().String()
	instead.Close()
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(true)
	l, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// expectOptions wants all that a client's socket is to have on the proxy's end of its connection, which is this
// process's.
func (r *rig) expectOptions(client stream) {
	r.Helper()
	want := addrPort(client.LocalAddr()).Port()
	for fd := 3; fd < 1024; fd++ {
		peer, err := unix.Getpeername(fd)
		if in, ok := peer.(*unix.SockaddrInet4); err != nil || !ok || uint16(in.Port) != want {
			continue
		}
		for _, option := range [][2]int{
			{unix.SOL_SOCKET, unix.SO_OOBINLINE}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_NODELAY},
		} {
			if on, err := unix.GetsockoptInt(fd, option[0], option[1]); on != 1 || err != nil {
				r.Errorf("option %d of level %d is %d, %v", option[1], option[0], on, err)
			}
		}
		return
	}
	r.Error("the proxy's socket is not found")
}

// splice(2) does not go past urgent data. What comes behind it arrives all the same, whether the side has finished or
// not.
func TestUrgentDataWhileSplicing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	eachTCP(t, nil, func(r *rig) {
		for i := range 12 {
			client, server := r.session()
			from, to := client, server
			if i%2 == 0 {
				from, to = server, client
			}
			text := make([]byte, 6_000_000)
			pattern(1).Read(text)
			var marks []int
			for mark := random.IntN(2_000_000); mark < len(text); mark += 1 + random.IntN(2_000_000) {
				marks = append(marks, mark)
			}
			if i%3 == 0 {
				marks = append(marks, len(text)-1)
			}
			finished := i%4 < 2
			err := both(func() error {
				sent := 0
				for _, mark := range marks {
					if _, err := from.Write(text[sent:mark]); err != nil {
						return err
					}
					if err := urgent(from, string(text[mark:mark+1])); err != nil {
						return err
					}
					sent = mark + 1
				}
				if _, err := from.Write(text[sent:]); err != nil {
					return err
				}
				if finished {
					return from.CloseWrite()
				}
				return nil
			}, func() error {
				got := make([]byte, len(text))
				n, err := io.ReadFull(to, got)
				if err == nil && !bytes.Equal(got, text) {
					err = fmt.Errorf("other bytes than were sent")
				}
				if err != nil {
					return fmt.Errorf("after %d bytes, with urgent data at %v: %w", n, marks, err)
				}
				return nil
			})
			if err != nil {
				r.Fatal(err)
			}
			from.CloseWrite()
			r.expectEOF(to)
			to.CloseWrite()
			r.expectEOF(from)
			r.record()
		}
	})
}

// The same where a rate bounds the flow.
func TestUrgentDataAtARate(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.Upload, r.Download = 1<<20, 1<<20 }, func(r *rig) {
		client, server := r.session()
		for _, text := range said {
			text += strings.Repeat("x", 1000) + text
			r.say(client, text)
			r.hear(server, text)
			r.say(server, text)
			r.hear(client, text)
		}
		r.finish(client, server)
	})
}

// A PROXY header is taken with urgent data at any place in it, and what comes behind it is not.
func TestUrgentDataInAHeader(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.ProxyFrom, r.ProxyTimeout = anywhere, testkit.Timeout }, func(r *rig) {
		for _, version := range []int{1, 2} {
			text := greeting(version) + "behind"
			for mark := range len(text) {
				release := func() {}
				if mark%2 == 0 {
					release = r.take()
				}
				client := r.dial()
				if err := urgent(client, text[:mark+1]); err != nil {
					r.Fatal(err)
				}
				if _, err := io.WriteString(client, text[mark+1:]); err != nil {
					r.Fatal(err)
				}
				release()
				server := r.accept()
				r.hear(server, "behind")
				if rec := r.finish(client, server); rec.Client != theirs.String() {
					r.Errorf("urgent data at %d: %+v", mark, rec)
				}
			}
		}
	})
}
