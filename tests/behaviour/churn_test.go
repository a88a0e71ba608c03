package behaviour

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// Targets leave and come back at random under load. As long as one of them is there, no client notices: every session
// gets a target, and every byte back.
func TestChurn(t *testing.T) {
	for _, balance := range []string{"round_robin", "least_sessions", "random", "source_hash", "first", "nearest"} {
		t.Run(balance, func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) { churn(t, engine, balance) })
		})
	}
}

func churn(t *testing.T, engine, balance string) {
	const targets, clients, sessions = 4, 6, 25
	r := harness.New(t, engine)
	all := make([]*harness.Target, targets)
	for i := range all {
		all[i] = r.Echo()
	}
	p := r.StartApp(harness.App{Targets: harness.To(all...), Balance: balance,
		Probe: &harness.Probe{Interval: "20ms", Timeout: "5s", Rise: 1}})

	// Whoever opens a session holds steady until its first byte is back: what waits in the backlog of a listener that is
	// closed is reset, which nobody can keep from the client.
	var steady sync.RWMutex
	done := make(chan struct{})
	var coming sync.WaitGroup
	coming.Go(func() {
		random := rand.New(rand.NewPCG(1, 2))
		there, alive := [targets]bool{true, true, true, true}, targets
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			i := random.IntN(targets)
			switch steady.Lock(); {
			case !there[i]:
				all[i].Restart()
				there[i] = true
				alive++
			case alive > 1:
				all[i].Leave()
				there[i] = false
				alive--
			}
			steady.Unlock()
		}
	})
	var load sync.WaitGroup
	for client := range clients {
		load.Go(func() {
			for i := range sessions {
				steady.RLock()
				c, err := r.TryDial(p.Address())
				if err == nil {
					err = echoes(c, uint64(client), 1)
				}
				steady.RUnlock()
				if err == nil {
					err = echoes(c, uint64(i), 1+i*2000)
				}
				if err == nil {
					err = c.Finish()
				}
				if err == nil {
					_, err = io.ReadFull(c, make([]byte, 1))
				}
				if err != io.EOF {
					t.Errorf("session %d of client %d: %v", i, client, err)
					return
				}
				c.Close()
			}
		})
	}
	load.Wait()
	close(done)
	coming.Wait()
	for _, record := range p.Records(clients * sessions) {
		if record.Cause != "client_closed" {
			t.Errorf("record %+v", record)
		}
	}
}

// echoes sends bytes and wants them back.
func echoes(c *harness.Conn, seed uint64, n int) error {
	data, back := harness.Bytes(seed, n), make([]byte, n)
	if _, err := c.Write(data); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, back); err != nil {
		return err
	}
	if string(back) != string(data) {
		return fmt.Errorf("%d bytes came back as others", n)
	}
	return nil
}
