package behaviour

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"tcp-proxy/tests/harness"
)

// Hundreds of sessions at the same time, each with bytes of its own: none gets those of another.
func TestCrowd(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		targets := []*harness.Target{r.Echo(), r.Echo(), r.EchoAt("unix:" + r.Path("target.sock"))}
		ports := []any{r.Address(), r.Address()}
		const sessions = 300
		p := r.Start(harness.Config{MaxWorkers: sessions, Apps: []harness.App{{
			Ports: ports, Targets: harness.To(targets...),
		}}})
		everyone := make(chan struct{}) // closed when all are connected and have had an answer
		answered := make(chan struct{}, sessions)
		var g errgroup.Group
		for i := range sessions {
			g.Go(func() error {
				client, err := r.TryDial(ports[i%len(ports)].(string))
				if err != nil {
					answered <- struct{}{}
					return err
				}
				defer client.Close()
				pattern, echo, chunks := harness.NewPattern(uint64(i)), harness.NewPattern(uint64(i)), harness.NewChunks(1+i*37, 4099)
				round := func(n int64) error {
					var g errgroup.Group
					g.Go(func() error { return harness.WritePattern(client, pattern, n, chunks) })
					g.Go(func() error { return harness.VerifyPattern(client, echo, n, harness.NewChunks(8191)) })
					return g.Wait()
				}
				err = round(1000)
				answered <- struct{}{}
				if err != nil {
					return err
				}
				<-everyone
				if err := round(60_000 + int64(i)); err != nil {
					return err
				}
				if err := client.Finish(); err != nil {
					return err
				}
				return harness.VerifyAll(client, echo, 0, harness.NewChunks(1))
			})
		}
		for range sessions {
			<-answered
		}
		close(everyone)
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, record := range p.Records(sessions) {
			if record.BytesUp != record.BytesDown || record.BytesUp < 61_000 {
				t.Errorf("record %+v", record)
			}
		}
		for _, target := range targets {
			if n := target.Accepted(); n != sessions/3 {
				t.Errorf("%d sessions came to %s, want %d", n, target.Address, sessions/3)
			}
		}
	})
}

// Many short sessions one after the other, over one port.
func TestShortSessions(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.StartApp(harness.App{Targets: harness.To(r.Sink())})
		const sessions, clients = 400, 8
		var g errgroup.Group
		for c := range clients {
			g.Go(func() error {
				for i := range sessions / clients {
					data := harness.Bytes(uint64(c), i*10)
					if err := digest(r, p.Address(), data); err != nil {
						return fmt.Errorf("client %d, session %d: %w", c, i, err)
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := len(p.Records(sessions)); n != sessions {
			t.Errorf("%d records of %d sessions", n, sessions)
		}
	})
}

// digest sends the data to a sink and compares the hash that it answers with.
func digest(r *harness.Rig, address string, data []byte) error {
	client, err := r.TryDial(address)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Write(data); err != nil {
		return err
	}
	if err := client.Finish(); err != nil {
		return err
	}
	want := harness.Sum(data)
	got := make([]byte, len(want)+1)
	n := 0
	for err == nil {
		var more int
		more, err = client.Read(got[n:])
		n += more
	}
	if !bytes.Equal(got[:n], want) {
		return fmt.Errorf("the sink answered %x (%v), not %x", got[:n], err, want)
	}
	return nil
}
