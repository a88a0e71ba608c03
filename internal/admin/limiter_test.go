package admin

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

// from is a connection from an address.
type from struct {
	net.Conn
	address string // "": a unix socket's
	shut    atomic.Bool
}

func (c *from) RemoteAddr() net.Addr {
	if c.address == "" {
		return &net.UnixAddr{}
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.address), 1))
}

func (c *from) Close() error { c.shut.Store(true); return nil }

// come has a connection come from an address, and fails if there is no room.
func come(t *testing.T, l *limiter, address string) *conn {
	t.Helper()
	c := l.add(&from{address: address})
	if c == nil {
		t.Fatal("no room")
	}
	return c
}

func here(c *conn) bool { return c.element != nil && !c.Conn.(*from).shut.Load() }

func sane(t *testing.T, l *limiter) {
	t.Helper()
	conns, regulars, of := 0, 0, map[*source]int{}
	for e := l.conns.Front(); e != nil; e = e.Next() {
		c := e.Value.(*conn)
		conns++
		of[c.source]++
		if c.regular != nil {
			regulars++
		}
	}
	if conns > l.max || regulars > maxRegulars || regulars != l.regulars || len(l.sources.known) > l.max+maxIdleSources ||
		len(l.sources.known) != len(of)+l.sources.idle.Len() {
		t.Fatalf("%d connections, %d regulars (%d), %d sources", conns, regulars, l.regulars, len(l.sources.known))
	}
	for s, n := range of {
		if s.conns != n || s.regulars > maxSourceRegulars || l.sources.known[s.key] != s || s.idle != nil {
			t.Fatalf("%v: %d connections, %d of them regulars; there are %d", s.key, s.conns, s.regulars, n)
		}
	}
}

// The one that has done nothing for longest makes room, of the source that has the most.
func TestWhoMakesRoom(t *testing.T) {
	l := newLimiter(4)
	lonely := come(t, l, "10.0.0.9")
	a, b, c := come(t, l, "10.0.0.1"), come(t, l, "10.0.0.1"), come(t, l, "10.0.0.1")
	a.requested(nil)
	d := come(t, l, "10.0.0.2")
	if !here(lonely) || !here(a) || here(b) || !here(c) || !here(d) {
		t.Error("of those of 10.0.0.1 it is the one that has done nothing for longest")
	}
	// With as many of each it is the one that has done nothing for longest of all.
	e := come(t, l, "10.0.0.3") // of 10.0.0.1, which has two
	if here(c) || !here(a) {
		t.Error("of two, the one that has asked stays")
	}
	f := come(t, l, "10.0.0.4")
	if here(lonely) || !here(a) || !here(d) || !here(e) || !here(f) {
		t.Error("of those that are alone it is the first")
	}
	sane(t, l)
	// One network of IPv6 is one source.
	l.closeAll()
	first := come(t, l, "2001:db8::1")
	other := come(t, l, "2001:db8:0:1::1")
	for i := range 20 {
		come(t, l, fmt.Sprintf("2001:db8::2:%x", i))
	}
	if here(first) || !here(other) {
		t.Error("a flood out of one network costs another its place")
	}
	sane(t, l)
}

// Who was answered is a regular, and no flood takes its place.
func TestRegularsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(128)
		regular := func(address string) *conn {
			t.Helper()
			c := come(t, l, address)
			c.requested(nil)
			c.answered()
			return c
		}
		var first []*conn
		for range maxSourceRegulars + 5 {
			first = append(first, regular("10.0.0.1"))
		}
		for i := range 1000 {
			c := come(t, l, []string{"10.0.0.1", fmt.Sprintf("10.1.%d.%d", i/250, i%250)}[i%2])
			if i%3 == 0 {
				c.requested(nil)
			}
			sane(t, l)
		}
		for i, c := range first {
			if here(c) != (i < maxSourceRegulars) {
				t.Errorf("regular %d is there: %v", i, here(c))
			}
		}
		// There are places for all sources together, and who does not come back loses its own.
		for i := range maxRegulars {
			regular(fmt.Sprintf("10.0.1.%d", i))
		}
		sane(t, l)
		if l.regulars != maxRegulars {
			t.Errorf("%d regulars", l.regulars)
		}
		time.Sleep(regularTimeout / 2)
		first[0].requested(nil)
		first[0].answered()
		time.Sleep(regularTimeout / 2)
		late := regular("10.0.2.1")
		if late.regular == nil || first[1].regular != nil || first[0].regular == nil {
			t.Error("the one that has not come back for longest has no place as a regular any more")
		}
		if again := regular("10.0.0.1"); again.regular == nil {
			t.Error("there is a place of that source")
		}
		sane(t, l)
		l.closeAll()
		sane(t, l)
	})
}

// A regular's requests are its own; what goes beyond is counted as everybody else's.
func TestTolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, address := newLimiter(10), newBucket(addressRate)
		flood, regular, other := come(t, l, "10.0.0.1"), come(t, l, "10.0.0.1"), come(t, l, "10.0.0.2")
		regular.answered()
		served := func(c *conn, n int) (got int) {
			for range n {
				if charges := c.requested(address); charges.open() {
					charges.charge(1)
					got++
				}
			}
			return got
		}
		if n := served(flood, 5000); n != sourceRate.burst {
			t.Errorf("a source is served %d at once", n)
		}
		if n := served(regular, 5000); n != regularRate.burst {
			t.Errorf("its regular is served %d at once", n)
		}
		if n := served(other, 5000); n != addressRate.burst-sourceRate.burst {
			t.Errorf("another source is served %d at once", n)
		}
		if n := served(come(t, l, "10.0.0.3"), 10); n != 0 {
			t.Errorf("the address lets %d requests in", n)
		}
		time.Sleep(time.Second)
		if n := served(regular, 5000); n < regularRate.perSecond {
			t.Errorf("a second later, the regular is served %d", n)
		}
		l.closeAll()
	})
}

// A source that connects again has its bucket as it was. The number of buckets that are kept is bounded.
func TestSourcesAreRemembered(t *testing.T) {
	l := newLimiter(10)
	c := come(t, l, "10.0.0.1")
	charge(c.source.bucket, 10000)
	l.leave(c)
	if again := come(t, l, "10.0.0.1"); again.source.bucket.Tokens() >= 1 {
		t.Error("it is as if it had never been here")
	} else {
		l.leave(again)
	}
	for i := range 3 * maxIdleSources {
		l.leave(come(t, l, fmt.Sprintf("10.1.%d.%d", i/250, i%250)))
		sane(t, l)
	}
	if n := len(l.sources.known); n != maxIdleSources {
		t.Errorf("%d sources are remembered", n)
	}
}

// What http.Server has not done with yet is bounded, too.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimitedListener(&failing{}, config.Port{}, newLimiter(3))
		var taken []net.Conn
		for range 2 * 3 {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, c)
		}
		got := make(chan net.Conn)
		go func() {
			c, _ := l.Accept()
			got <- c
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Error("one more than there are slots")
		default:
		}
		taken[0].Close()
		taken[0].Close() // as http.Server may
		taken = append(taken, <-got)
		go func() {
			_, err := l.Accept()
			if err == nil {
				t.Error("closing twice gave two slots")
			}
			close(got)
		}()
		synctest.Wait()
		l.Close()
		<-got
		for _, c := range taken {
			c.Close()
		}
	})
}
