package harness

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pair connects a client to a target without a proxy.
func pair(t *testing.T) (client, server *Conn) {
	t.Helper()
	r := New(t, "none")
	target := r.Listen()
	return r.Dial(target.Address), target.Accept()
}

func TestResetIsSeenWithoutReading(t *testing.T) {
	client, server := pair(t)
	sent := client.Fill(NewPattern(1))
	if sent == 0 {
		t.Fatal("nothing went in")
	}
	client.Abort()
	server.AwaitReset()
}

func TestResetAfterFinishIsSeenWithoutReading(t *testing.T) {
	client, server := pair(t)
	client.CloseWrite()
	server.ExpectEOF()
	client.Abort()
	server.AwaitReset()
}

func TestResetIsNotEOF(t *testing.T) {
	client, server := pair(t)
	client.Abort()
	server.ExpectReset()

	client, server = pair(t)
	client.CloseWrite()
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read = %d, %v; want EOF", n, err)
	}
}

func TestFillLeavesAUsableConnection(t *testing.T) {
	client, server := pair(t)
	sent := client.Fill(NewPattern(1))
	client.CloseWrite()
	if err := VerifyAll(server, NewPattern(1), sent, NewChunks(65537)); err != nil {
		t.Fatal(err)
	}
}

func TestPatternsDiffer(t *testing.T) {
	if bytes.Equal(Bytes(1, 64), Bytes(2, 64)) {
		t.Error("two seeds, one pattern")
	}
	var got bytes.Buffer
	if err := WritePattern(&got, NewPattern(1), 1000, NewChunks(1, 7, 333)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), Bytes(1, 1000)) {
		t.Error("the pattern depends on the chunks it is written in")
	}
	got.Bytes()[777] ^= 1
	err := VerifyAll(&got, NewPattern(1), 1000, NewChunks(1, 99))
	if err == nil || !strings.Contains(err.Error(), "byte 777 ") {
		t.Errorf("one wrong byte: %v", err)
	}
	for _, n := range []int{999, 1001} {
		if VerifyAll(bytes.NewReader(Bytes(1, n)), NewPattern(1), 1000, NewChunks(64)) == nil {
			t.Errorf("%d bytes pass for 1000", n)
		}
	}
}

func TestBlackholeHangs(t *testing.T) {
	address := New(t, "none").Blackhole()
	var netErr net.Error
	c, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
	if !errors.As(err, &netErr) || !netErr.Timeout() {
		t.Fatalf("dial = %v, %v; want a time-out", c, err)
	}
}

func TestStoppedTargetRefuses(t *testing.T) {
	r := New(t, "none")
	target := r.Echo()
	client := r.Dial(target.Address)
	client.Send([]byte("hello"))
	client.Expect([]byte("hello"))
	target.Stop()
	if _, err := r.TryDial(target.Address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial a stopped target: %v", err)
	}
	target.Restart()
	r.Dial(target.Address)
}

func TestRigsDoNotShare(t *testing.T) {
	a, b := New(t, "none"), New(t, "none")
	if a.Host == b.Host {
		t.Errorf("host %s twice", a.Host)
	}
	if first, second := a.Address(), a.Address(); first == second {
		t.Errorf("address %s twice", first)
	}
	if p, q := a.SharedPort(), b.SharedPort(); p == q {
		t.Errorf("shared port %d twice", p)
	}
}
