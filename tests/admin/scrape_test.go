package admin

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// A scraper asks for the metrics again and again.
type scraper struct {
	client        http.Client
	url           string
	dials         atomic.Int64
	good, refused int
	err           error // the first that was not an answer
}

// newScraper makes one that comes from a source, which is an IP address, over one connection or many.
func newScraper(address, source string, keep bool) *scraper {
	s := &scraper{url: "http://" + address + "/metrics"}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	s.client = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: !keep,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			s.dials.Add(1)
			return dialer.DialContext(ctx, network, address)
		},
	}}
	return s
}

// scrape asks once.
func (s *scraper) scrape() {
	response, err := s.client.Get(s.url)
	if err == nil {
		defer response.Body.Close()
		var body []byte
		switch body, err = io.ReadAll(response.Body); {
		case err != nil:
		case response.StatusCode == http.StatusTooManyRequests:
			s.refused++
			return
		case response.StatusCode != http.StatusOK || !strings.Contains(string(body), "tcp_proxy_build_info"):
			err = fmt.Errorf("status %d with %d bytes", response.StatusCode, len(body))
		default:
			s.good++
			return
		}
	}
	if s.err == nil {
		s.err = err
	}
}

// flooding has a number of connections made each second, each of which f uses until it ends it or the flood is over.
// stop ends the flood, and returns how many connections stood.
func flooding(t *testing.T, address string, perSecond int, f func(net.Conn)) (stop func() int64) {
	over, cancel := context.WithCancel(context.Background())
	var stood atomic.Int64
	var all sync.WaitGroup
	places := make(chan bool, 2000) // for those at once
	flood := func() {
		defer func() { <-places }()
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(over, "tcp", address)
		if err != nil {
			return
		}
		defer c.Close()
		defer context.AfterFunc(over, func() { c.Close() })()
		stood.Add(1)
		f(c)
	}
	all.Go(func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for begun, made := time.Now(), 0; over.Err() == nil; <-ticker.C {
			for due := int(time.Since(begun).Seconds() * float64(perSecond)); made < due; made++ {
				select {
				case places <- true:
					all.Go(flood)
				default:
				}
			}
		}
	})
	end := sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(end)
	return func() int64 { end(); return stood.Load() }
}

// However many connections come to the TCP address, and whatever they do, who scraped before goes on to be served, and
// so does who comes anew from elsewhere, and at the unix socket everybody.
func TestScrapesInAFlood(t *testing.T) {
	t.Parallel()
	const request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
	for _, flood := range []struct {
		name  string
		share float64 // of scrapes with new connections from where the flood comes from that are answered, at least
		f     func(net.Conn)
	}{
		{"silence", 0.5, gone},
		{"connect and close", 0.5, func(net.Conn) {}},
		{"half a request", 0.5, func(c net.Conn) { io.WriteString(c, request); gone(c) }},
		{"answers that nobody reads", 0, func(c net.Conn) {
			c.(*net.TCPConn).SetReadBuffer(4096)
			io.WriteString(c, request+"\r\n")
			time.Sleep(time.Second)
		}},
		{"answers that are read", 0, func(c net.Conn) { io.WriteString(c, request+"Connection: close\r\n\r\n"); gone(c) }},
	} {
		t.Run(flood.name, func(t *testing.T) {
			r := harness.New(t, "loop")
			var apps []harness.App
			for i := range 30 {
				apps = append(apps, harness.App{Name: fmt.Sprint("app", i), Targets: []any{r.Refuse()}})
			}
			s := see(r, harness.Config{Apps: apps})
			const here, elsewhere = "127.0.0.1", "127.0.0.9"
			kept := newScraper(s.tcp, here, true)
			defer kept.client.CloseIdleConnections()
			fresh, other := newScraper(s.tcp, here, false), newScraper(s.tcp, elsewhere, false)
			kept.scrape()
			begun, used := time.Now(), s.CPU()
			stop := flooding(t, s.tcp, 600, flood.f)
			rounds := 1
			for ; rounds < 9; rounds++ {
				time.Sleep(250 * time.Millisecond) // scrapes are far between
				kept.scrape()
				fresh.scrape()
				other.scrape()
				if a := s.ask(http.MethodGet, "/api/v1/status"); a.code != http.StatusOK {
					t.Errorf("the unix socket answers with %d", a.code)
				}
				if all, _ := s.Descriptors(); all > s.DescriptorsAtReady()+150 {
					t.Errorf("%d descriptors, %d when it was ready", all, s.DescriptorsAtReady())
				}
			}
			took := time.Since(begun)
			n := stop()
			t.Logf("%.0f connections a second, %v of CPU for each; with new connections from there %d of %d were answered",
				float64(n)/took.Seconds(), (s.CPU()-used)/time.Duration(n), fresh.good, rounds-1)
			if kept.good != rounds || kept.dials.Load() != 1 {
				t.Errorf("who was there: %d of %d over %d connections; %d refused, %v", kept.good, rounds, kept.dials.Load(), kept.refused, kept.err)
			}
			if other.good != rounds-1 {
				t.Errorf("who came from elsewhere: %d of %d; %d refused, %v", other.good, rounds-1, other.refused, other.err)
			}
			if float64(fresh.good) < flood.share*float64(rounds-1) {
				t.Errorf("who came anew: %d of %d; %d refused, %v", fresh.good, rounds-1, fresh.refused, fresh.err)
			}
		})
	}
}
