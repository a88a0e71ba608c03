package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The test binary plays the parts of the bench, as the bench itself does.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && strings.HasPrefix(os.Args[1], "part:") {
		if err := runPart(os.Args[1], os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// testCell is a cell without a proxy, on loopback addresses that no other test has; it lasts as long as the test.
func testCell(t *testing.T, r row) (context.Context, *cell) {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	c := &cell{row: r, direct: true}
	for range 4 {
		c.ground.targets = append(c.ground.targets, freeAddress(t))
	}
	if r.load == loadConnect {
		c.ground.sources = []netip.Addr{netip.MustParseAddr("127.3.0.1"), netip.MustParseAddr("127.3.0.2")}
	}
	target, err := startTarget(ctx, targetOrder{Serve: r.serve, Size: r.size, Listen: c.ground.targets})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.stop() })
	c.target = target
	return ctx, c
}

func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestEveryLoadMoves(t *testing.T) {
	for _, r := range allRows {
		switch {
		case r.kind == kindIdle || r.kind == kindSyscalls || r.growth:
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			ctx, c := testCell(t, r)
			client, err := c.startClient(ctx, r.sessions, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer client.stop()
			for range 2 {
				result, used, err := c.interval(ctx, client, 100*time.Millisecond)
				for tries := 0; err == nil && result.Seconds < 0.05 && tries < 20; tries++ { // the machine was busy
					result, used, err = c.interval(ctx, client, 100*time.Millisecond)
				}
				if err != nil {
					t.Fatal(err)
				}
				if result.Bytes == 0 || result.Seconds < 0.05 || used.client <= 0 || used.target <= 0 {
					t.Errorf("result %+v, CPU time %+v", result, used)
				}
				if r.kind != kindConnect && result.Live != r.sessions {
					t.Errorf("%d of %d sessions are open", result.Live, r.sessions)
				}
				if r.kind != kindBulk {
					if result.Operations == 0 || result.Bytes != result.Operations*uint64(r.size) {
						t.Errorf("%d operations and %d bytes", result.Operations, result.Bytes)
					}
					if result.P50 <= 0 || result.P50 > result.P99 || result.P99 > result.P999 || result.P999 > 1e10 {
						t.Errorf("latencies %v, %v, %v ns", result.P50, result.P99, result.P999)
					}
				}
			}
		})
	}
}

func TestIdleSessionsStayOpenAndStill(t *testing.T) {
	r := rowNamed("idle3000")
	r.sessions = 300
	ctx, c := testCell(t, r)
	client, err := c.startClient(ctx, r.sessions, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.stop()
	result, _, err := c.interval(ctx, client, 50*time.Millisecond)
	if err != nil || result.Live != r.sessions || result.Operations != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestLimitedConnectionsEndUnasked(t *testing.T) {
	ctx, c := testCell(t, rowNamed("syscalls"))
	if err := c.connections(ctx, 7, 100); err != nil {
		t.Fatal(err)
	}
}

// A proxy that serves but one connection, flips a bit, closes, or is not there must not look like a fast one.
func TestClientTellsWhatIsBroken(t *testing.T) {
	exchange := rowNamed("rr64x64")
	for _, c := range []struct {
		name  string
		serve func(net.Conn) // nil: refuse
		want  string
	}{
		{"refused", nil, "connection refused"},
		{"closed", func(c net.Conn) { c.Read(make([]byte, 64)); c.Close() }, "closed a session"},
		{"wrong bytes", func(c net.Conn) {
			b := make([]byte, 64)
			n, _ := c.Read(b)
			b[n-1]++
			c.Write(b[:n])
		}, errWrongBytes.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cell := testCell(t, exchange)
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			cell.ground.targets = []netip.AddrPort{netip.MustParseAddrPort(l.Addr().String())}
			served := make(chan struct{})
			go func() {
				defer close(served)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					c.serve(conn)
				}
			}()
			if c.serve == nil {
				l.Close()
			}
			client, err := cell.startClient(ctx, 3, 0)
			if err == nil {
				client.stop()
				t.Fatal("the client found nothing wrong")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the client said %q, want %q", err, c.want)
			}
			l.Close()
			<-served
		})
	}
}

func TestClientTellsOfSessionsThatBreakUnderLoad(t *testing.T) {
	ctx, c := testCell(t, rowNamed("rr64x64"))
	client, err := c.startClient(ctx, 64, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.stop()
	c.target.stop()
	var result clientResult
	for deadline := time.Now().Add(10 * time.Second); result.Broken < 64 && time.Now().Before(deadline); {
		if err := client.command(commandStop); err != nil {
			t.Fatal(err)
		}
		if err := client.answer(ctx, &result); err != nil {
			t.Fatal(err)
		}
	}
	if result.Broken != 64 || result.Live != 0 || result.Error == "" {
		t.Errorf("%+v", result)
	}
}

// What ends with its standard input must not need to be killed.
func TestChildrenEndByThemselves(t *testing.T) {
	ctx, c := testCell(t, rowNamed("rr64x1"))
	client, err := c.startClient(ctx, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range []*child{client, c.target} {
		ch.stdin.Close()
		select {
		case <-ch.done:
		case <-ctx.Done():
			t.Fatalf("%s still runs", ch.name)
		}
		if code := ch.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s ended with %d: %s", ch.name, code, ch.stderr.String())
		}
	}
}
