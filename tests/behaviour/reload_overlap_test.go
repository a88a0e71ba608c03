package behaviour

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"tcp-proxy/tests/harness"
)

// A port that is asked for in other words, or with more or fewer addresses, goes on without a client being refused.
func TestReloadOfOverlappingPorts(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		one := r.Identify("one")
		number := strconv.Itoa(r.SharedPort())
		own := r.Host + ":" + number
		forms := []string{own, number, "0.0.0.0:" + number}
		config := func(port string) harness.Config {
			return harness.Config{Apps: []harness.App{{Name: "moves", Ports: []any{port}, Targets: harness.To(one)}}}
		}
		p := r.Start(config(own))
		var done atomic.Bool
		var clients sync.WaitGroup
		var sessions atomic.Int64
		for range 2 {
			clients.Go(func() {
				for !done.Load() {
					if name, err := r.Ask(own); err != nil || name != "one" {
						t.Errorf("%q, %v", name, err)
						return
					}
					sessions.Add(1)
				}
			})
		}
		for _, from := range forms {
			for _, to := range forms {
				p.Reload(config(from))
				p.Reload(config(to))
			}
		}
		p.Reload(config(own))
		done.Store(true)
		clients.Wait()
		if sessions.Load() < 2*int64(len(forms)) {
			t.Errorf("only %d sessions", sessions.Load())
		}
		harness.Eventually(t, "the port is closed on other addresses", func() bool {
			c, err := net.Dial("tcp", net.JoinHostPort("::1", number))
			if err == nil {
				c.Close()
			}
			return err != nil
		})
	})
}
