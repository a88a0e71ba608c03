package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
	"tcp-proxy/internal/testkit"
)

// A change of the addresses touches those that are new and those that are gone, and no other.
func TestAddressesChange(t *testing.T) {
	a := start(t)
	kept, err := dial(a.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	fresh := tcpAddress(t)
	a.serve(a.socket, fresh, fresh)
	a.expect(a.ask(fresh, http.MethodGet, "/api/v1/status"), http.StatusOK, "")
	a.expect(a.ask(a.socket, http.MethodGet, "/api/v1/status"), http.StatusOK, "")
	if _, err := dial(a.tcp); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the address that is gone: %v", err)
	}
	if _, err := io.WriteString(kept, "GET /healthz HTTP/1.0\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(kept), nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("a connection from before: %v", err)
	}

	a.serve()
	if _, err := os.Lstat(a.socket.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket that is gone: %v", err)
	}
	if _, err := dial(fresh); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the address that is gone: %v", err)
	}
}

// An address may be replaced by one that has addresses in common with it, as often as it takes. No client of the common
// address is refused.
func TestAddressesOverlap(t *testing.T) {
	a := start(t)
	number := a.tcp.Addr.Port()
	var forms []config.AdminAddress
	for _, ip := range []string{"127.0.0.1", "0.0.0.0", "::"} {
		forms = append(forms, config.AdminAddress{Network: "tcp", Addr: netip.AddrPortFrom(netip.MustParseAddr(ip), number)})
	}
	done, asked := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-done:
				asked <- nil
				return
			default:
			}
			if got, err := tryAsk(a.tcp, http.MethodGet, "/healthz"); err != nil || got.code != http.StatusOK && got.code != http.StatusTooManyRequests {
				asked <- fmt.Errorf("code %d, %w", got.code, err)
				return
			}
		}
	}()
	for _, from := range forms {
		for _, to := range forms {
			a.serve(from)
			a.serve(to)
		}
	}
	a.serve(a.tcp)
	close(done)
	if err := <-asked; err != nil {
		t.Error(err)
	}
	a.overlapping.Wait()
	elsewhere := a.tcp
	elsewhere.Addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), number)
	if _, err := dial(elsewhere); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("an address that is gone: %v", err)
	}
	a.expect(a.ask(a.tcp, http.MethodGet, "/healthz"), http.StatusOK, "")
	if n := len(a.listeners[a.tcp].sockets); n != 1 {
		t.Errorf("%d sockets", n)
	}

	// An abandoned plan leaves the sockets alone.
	plan, err := a.Prepare(forms[1:2])
	if err != nil {
		t.Fatal(err)
	}
	plan.Abandon()
	a.expect(a.ask(a.tcp, http.MethodGet, "/healthz"), http.StatusOK, "")
	if _, err := dial(elsewhere); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("an address of an abandoned plan: %v", err)
	}
}

// The request that has the address given up gets its answer.
func TestAnswerFromAnAddressThatIsGivenUp(t *testing.T) {
	a := start(t)
	began, goOn := make(chan struct{}), make(chan struct{})
	a.Server.node = slow{a.node, func() { close(began); <-goOn }}
	done := make(chan error, 1)
	go func() {
		got, err := tryAsk(a.socket, http.MethodPost, "/api/v1/drain")
		if err == nil && got.code != http.StatusNoContent {
			err = errors.New(got.body)
		}
		done <- err
	}()
	<-began
	a.serve(a.tcp)
	if _, err := dial(a.socket); err == nil {
		t.Error("the address is still there")
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A connection that was accepted before its address was given up has its usual time to send the first request.
func TestLateRequestAtAnAddressThatIsGivenUp(t *testing.T) {
	a := start(t)
	late, err := dial(a.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	testkit.Eventually(t, "the connection is accepted", a.listeners[a.tcp].limiter.awaitsRequest)
	a.serve(a.socket)
	time.Sleep(2 * listen.Grace) // a slow client; the time-out is headerTimeout
	if _, err := io.WriteString(late, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(late), nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("the late request: %v", err)
	}
}

// A server that is closed waits for nobody longer than it is told to, also not at addresses that it has given up before.
func TestCloseWaitsForNobody(t *testing.T) {
	a := start(t)
	a.last = 10 * testkit.Timeout
	began, goOn := make(chan struct{}), make(chan struct{})
	a.Server.node = slow{a.node, func() { close(began); <-goOn }}
	ended := make(chan error, 1)
	go func() {
		_, err := tryAsk(a.socket, http.MethodPost, "/api/v1/drain")
		ended <- err
	}()
	<-began
	a.serve(a.tcp)
	ctx, cancel := context.WithCancel(context.Background())
	closed := make(chan struct{})
	go func() {
		a.Server.Close(ctx)
		close(closed)
	}()
	cancel()
	if err := <-ended; err == nil || os.IsTimeout(err) {
		t.Errorf("who waits for an answer is not cut off: %v", err)
	}
	close(goOn)
	<-closed
}

type slow struct {
	Node
	wait func()
}

func (s slow) Drain(bool) { s.wait() }

// What cannot be listened on is all said at once, and nothing has changed then.
func TestAddressesThatCannotBe(t *testing.T) {
	a := start(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	inUse := tcpAddress(t)
	inUse.Addr = taken.Addr().(*net.TCPAddr).AddrPort()
	file, none, fresh := unixAddress(t), unixAddress(t), unixAddress(t)
	none.Path += "/none/admin.sock"
	if err := os.WriteFile(file.Path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	holder := "the admin API cannot listen on " + inUse.Addr.String() + ": address already in use (by admin.test, PID "
	// A machine that is busy may not have the time to find the process.
	testkit.Eventually(t, "the error names the process", func() bool {
		if _, err = a.Prepare([]config.AdminAddress{fresh, inUse, file, none}); err == nil {
			t.Fatal("no error")
		}
		return strings.Contains(err.Error(), holder)
	}, func() any { return err })
	for _, want := range []string{
		"the admin API cannot listen on unix:" + file.Path + ": there is a file of that name, which is not a socket",
		"the admin API cannot listen on unix:" + none.Path + ": no such file or directory",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	var one *ListenError
	if !errors.As(err, &one) || one.Index != 1 {
		t.Errorf("the first of them: %+v", one)
	}
	if _, err := os.Lstat(fresh.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what could be listened on was not given back: %v", err)
	}
	if text, err := os.ReadFile(file.Path); err != nil || string(text) != "precious" {
		t.Errorf("the file in the way: %q, %v", text, err)
	}
	a.expect(a.ask(a.socket, http.MethodGet, "/api/v1/status"), http.StatusOK, "")
}

// A socket is for root, the user of the service and its group, whatever the umask is.
func TestSocketMode(t *testing.T) {
	a := start(t)
	for _, umask := range []int{0, 0o007, 0o022, 0o077} {
		before := unix.Umask(umask)
		address := unixAddress(t)
		plan, err := a.Prepare([]config.AdminAddress{address})
		unix.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(address.Path); err != nil || info.Mode() != fs.ModeSocket|0o660 {
			t.Errorf("umask %03o: mode %v, %v", umask, info.Mode(), err)
		}
		plan.Abandon()
	}
}

// However many connections come, only so many are held, and who comes last is served.
func TestConnectionsAreBounded(t *testing.T) {
	a := start(t)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range maxConns + 50 {
		c, err := dial(a.tcp)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // half of them have begun to ask
			io.WriteString(c, "GET /metrics HTTP/1.1\r\n")
		}
		conns = append(conns, c)
	}
	a.expect(a.ask(a.tcp, http.MethodGet, "/api/v1/status"), http.StatusOK, "")
	a.expect(a.ask(a.socket, http.MethodGet, "/api/v1/status"), http.StatusOK, "")
	limiter := a.listeners[a.tcp].limiter
	limiter.mu.Lock()
	held := limiter.conns.Len()
	limiter.mu.Unlock()
	if held > maxConns {
		t.Errorf("%d connections are held", held)
	}
	for i, c := range conns[:50] {
		c.SetReadDeadline(time.Now().Add(testkit.Timeout))
		if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("connection %d, of those that came first, is still there: %v", i, err)
		}
	}
}

// Who is about an action is not cut off by those who come.
func TestActionsAreNotCutOff(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	l := newLimiter(2)
	acting := l.add(server)
	acting.acting.Store(true)
	other := func() *conn {
		_, s := net.Pipe()
		return l.add(s)
	}
	first, second := other(), other()
	if first == nil || second == nil || acting.element == nil || first.element != nil || second.element == nil {
		t.Error("the one that came first, and is about nothing, makes room")
	}
	second.acting.Store(true)
	if other() != nil {
		t.Error("there was no room")
	}
	acting.Close()
	if other() == nil || l.conns.Len() != 2 {
		t.Error("there was room")
	}
	l.closeAll()
	if l.conns.Len() != 0 {
		t.Error("there are connections left")
	}
}

// Accepting goes on when it has failed.
func TestAcceptFails(t *testing.T) {
	inner := &failing{errs: []error{unix.EMFILE, unix.EMFILE, unix.ECONNABORTED}}
	l := newLimitedListener(inner, config.Port{}, newLimiter(2))
	conn, err := l.Accept()
	if err != nil || conn == nil || len(inner.errs) != 0 {
		t.Errorf("%v, with %d errors left", err, len(inner.errs))
	}
	inner.errs = []error{unix.EMFILE, unix.EMFILE, unix.EMFILE, unix.EMFILE, unix.EMFILE, unix.EMFILE, unix.EMFILE}
	time.AfterFunc(time.Millisecond, func() { l.Close() })
	for err == nil {
		inner.errs = append(inner.errs, unix.EMFILE)
		_, err = l.Accept()
	}
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener says %v", err)
	}
	l.limiter.closeAll()
}

// failing is a listener that fails as often as it has errors.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, err
	}
	_, s := net.Pipe()
	return s, nil
}

func (f *failing) Close() error { return nil }
