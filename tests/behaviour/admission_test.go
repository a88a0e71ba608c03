package behaviour

import (
	"slices"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// turnedAway wants the next client on the host to be refused by the app itself, with a reset and for that reason, and no
// target to hear of it.
func turnedAway(t *testing.T, r *harness.Rig, p *harness.Proxy, host, cause, reason string) {
	t.Helper()
	record := p.RecordOfAddress(r.ExpectRefusalFrom(host, p.Address()))
	if record.Cause != cause || record.Refused != reason {
		t.Fatalf("cause = %s and refused = %q, want %s and %q", record.Cause, record.Refused, cause, reason)
	}
	if record.Target != "" || record.Attempts != 0 || record.BytesUp != 0 || record.BytesDown != 0 {
		t.Errorf("a client that was turned away has the record %+v", record)
	}
}

func TestAllowAndDeny(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		friend, stranger, banned := r.AnotherHost(), r.AnotherHost(), r.AnotherHost()
		p := r.Start(harness.Config{Apps: []harness.App{
			{Name: "few", Targets: harness.To(target), Allow: []string{friend, banned + "/32", "2001:db8::/32"}, Deny: []string{banned}},
			{Name: "most", Targets: harness.To(target), Deny: []string{banned, "::/0"}},
		}})
		for range 3 {
			turnedAway(t, r, p, stranger, "denied", "denied")
			turnedAway(t, r, p, banned, "denied", "denied")
			client, server := r.DialFrom(friend, p.Address()), target.Accept()
			client.Exchange(server, harness.Bytes(1, 1000))
		}
		client, server := r.DialFrom(stranger, p.AddressOf(1)), target.Accept()
		client.Exchange(server, harness.Bytes(2, 1000))
		r.ExpectRefusalFrom(banned, p.AddressOf(1))
		if n := target.Accepted(); n != 4 {
			t.Errorf("%d connections to the target, want 4", n)
		}
	})
}

// What a client has sent before it is turned away makes no difference.
func TestDeniedClientHasSent(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		host := r.AnotherHost()
		p := r.Start(harness.Config{MaxWorkers: 1, Apps: []harness.App{{Targets: harness.To(target), Deny: []string{host}}}})
		holder, _ := p.Session(target)
		banned := r.DialFrom(host, p.Address()) // it is accepted when the holder leaves
		banned.Send(harness.Bytes(1, 10_000))
		holder.Abort()
		banned.ExpectReset()
		p.ExpectCause(banned, "denied")
	})
}

// Clients of a unix socket have no address: networks and limits by source are not for them.
func TestUnixClientsPassTheNetworks(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		port := "unix:" + r.Path("port.sock")
		p := r.StartApp(harness.App{
			Ports: []any{port}, Targets: harness.To(target), Allow: []string{"192.0.2.1"}, Deny: []string{"0.0.0.0/0", "::/0"},
			MaxSessionsPerSource: 1, SessionsPerSecondPerSource: 1, MaxSessions: 3,
		})
		for range 3 {
			client, server := p.Session(target)
			client.Exchange(server, harness.Bytes(1, 1000))
		}
		p.Dial().ExpectEOF()
		if record := p.Records(1)[0]; record.Cause != "limited" || record.Refused != "max_sessions" {
			t.Errorf("record %+v", record)
		}
	})
}

func TestMaxSessions(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		app := harness.App{Ports: []any{r.Address(), r.Address()}, Targets: harness.To(target), MaxSessions: 2}
		p := r.StartApp(app)
		client, server := p.Session(target)
		r.Dial(app.Ports[1].(string)).Exchange(target.Accept(), []byte{1}) // every port of the app counts
		turnedAway(t, r, p, r.Host, "limited", "max_sessions")
		turnedAway(t, r, p, r.AnotherHost(), "limited", "max_sessions")
		client.Close()
		server.ExpectEOF()
		server.Close()
		p.RecordOf(client)
		client, server = p.Session(target)
		client.Exchange(server, harness.Bytes(1, 1000))
		turnedAway(t, r, p, r.Host, "limited", "max_sessions")
		if n := target.Accepted(); n != 3 {
			t.Errorf("%d connections to the target, want 3", n)
		}
	})
}

func TestMaxSessionsPerSource(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(harness.App{Targets: harness.To(target), MaxSessionsPerSource: 2})
		hosts := []string{r.AnotherHost(), r.AnotherHost(), r.AnotherHost()}
		var clients []*harness.Conn
		for _, host := range append(hosts, hosts...) {
			client := r.DialFrom(host, p.Address())
			client.Exchange(target.Accept(), []byte{1})
			clients = append(clients, client)
		}
		for _, host := range hosts {
			turnedAway(t, r, p, host, "limited", "max_sessions_per_source")
		}
		clients[1].Abort()
		p.RecordOf(clients[1])
		turnedAway(t, r, p, hosts[0], "limited", "max_sessions_per_source")
		r.DialFrom(hosts[1], p.Address()).Exchange(target.Accept(), harness.Bytes(1, 1000))
		turnedAway(t, r, p, hosts[1], "limited", "max_sessions_per_source")
	})
}

// However a session ends, its place is free for the next when its record is written.
func TestPlacesAreGivenBack(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		app := harness.App{
			Ports: []any{r.Address()}, Targets: harness.To(target), MaxSessions: 1, MaxSessionsPerSource: 1,
			ConnectTimeout: "300ms",
		}
		idle, none, deaf, down := app, app, app, app
		idle.IdleTimeout = "300ms"
		none.Targets = []any{r.Refuse()}
		deaf.Targets = []any{r.Blackhole()}
		down.Targets = []any{harness.TargetConfig{Address: r.Refuse(), Down: true}}
		p := r.StartApp(app)
		use := func(app harness.App) {
			t.Helper()
			p.Reload(harness.Config{Apps: []harness.App{app}})
		}
		for _, end := range []struct {
			cause string
			play  func() *harness.Conn
		}{
			{"client_closed", func() *harness.Conn {
				client, server := p.Session(target)
				client.CloseWrite()
				server.ExpectEOF()
				server.CloseWrite()
				client.ExpectEOF()
				return client
			}},
			{"target_closed", func() *harness.Conn {
				client, server := p.Session(target)
				server.CloseWrite()
				client.ExpectEOF()
				client.CloseWrite()
				return client
			}},
			{"client_reset", func() *harness.Conn {
				client, server := p.Session(target)
				client.Exchange(server, []byte{1})
				client.Abort()
				server.ExpectReset()
				return client
			}},
			{"target_reset", func() *harness.Conn {
				client, server := p.Session(target)
				client.Exchange(server, []byte{1})
				server.Abort()
				client.ExpectReset()
				return client
			}},
			{"idle_timeout", func() *harness.Conn {
				use(idle)
				client, _ := p.Session(target)
				client.ExpectReset()
				return client
			}},
			{"connect_failed", func() *harness.Conn {
				use(none)
				return nil
			}},
			{"connect_failed", func() *harness.Conn {
				use(deaf)
				return nil
			}},
			{"no_target", func() *harness.Conn {
				use(down)
				return nil
			}},
		} {
			for range 2 {
				if client := end.play(); client != nil {
					p.ExpectCause(client, end.cause)
				} else if record := p.RecordOfAddress(r.ExpectRefusal(p.Address())); record.Cause != end.cause {
					t.Fatalf("cause = %s, want %s", record.Cause, end.cause)
				}
			}
		}
		use(app)
		client, server := p.Session(target)
		client.Exchange(server, []byte{1})
		turnedAway(t, r, p, r.Host, "limited", "max_sessions")
	})
}

// At a rate of one a second, one comes in at once and then one a second, and no more however many ask.
func TestSessionsPerSecond(t *testing.T) {
	for _, c := range []struct {
		reason string
		app    harness.App
	}{
		{"sessions_per_second", harness.App{SessionsPerSecond: 1}},
		{"sessions_per_second_per_source", harness.App{SessionsPerSecondPerSource: 1}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) {
				r := harness.New(t, engine)
				target := r.Identify("it")
				app := c.app
				app.Targets = harness.To(target)
				p := r.StartApp(app)
				begin, in, out := time.Now(), 0, 0
				for in < 4 {
					if name, err := r.Ask(p.Address()); err == nil && name == "it" {
						in++
					} else {
						out++
						time.Sleep(20 * time.Millisecond)
					}
					if most := 1 + int(time.Since(begin)/time.Second); in > most {
						t.Fatalf("%d came in within %v", in, time.Since(begin))
					}
					if time.Since(begin) > harness.Timeout {
						t.Fatalf("only %d came in", in)
					}
				}
				if n := target.Accepted(); n != in {
					t.Errorf("%d connections to the target, and %d sessions", n, in)
				}
				refused := func(record harness.Record) bool { return record.Cause == "limited" && record.Refused == c.reason }
				records := p.Records(in + out)
				if n := len(slices.DeleteFunc(records, refused)); n != in {
					t.Errorf("%d records are not of refusals, want %d", n, in)
				}
			})
		})
	}
}

// The rate of one source is nothing to another.
func TestRatesAreOfOneSource(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(harness.App{Targets: harness.To(target), SessionsPerSecondPerSource: 1})
		for range 20 {
			r.DialFrom(r.AnotherHost(), p.Address()).Exchange(target.Accept(), []byte{1})
		}
	})
}

// A reload changes the limits, and not who is inside.
func TestLimitsAfterReload(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target, host := r.Listen(), r.AnotherHost()
		app := harness.App{Ports: []any{r.Address()}, Targets: harness.To(target)}
		p := r.StartApp(app)
		use := func(max, perSource int) {
			t.Helper()
			app.MaxSessions, app.MaxSessionsPerSource = max, perSource
			p.Reload(harness.Config{Apps: []harness.App{app}})
		}
		var clients, servers []*harness.Conn
		come := func() {
			t.Helper()
			client, server := r.DialFrom(host, p.Address()), target.Accept()
			client.Exchange(server, []byte{1})
			clients, servers = append(clients, client), append(servers, server)
		}
		leave := func() {
			t.Helper()
			clients[0].Close()
			servers[0].ExpectEOF()
			servers[0].Close()
			p.RecordOf(clients[0])
			clients, servers = clients[1:], servers[1:]
		}
		come() // while there is no limit
		come()
		use(2, 0)
		turnedAway(t, r, p, host, "limited", "max_sessions")
		use(4, 2)
		come() // two under the limit of one source
		come()
		use(5, 2)
		turnedAway(t, r, p, host, "limited", "max_sessions_per_source")
		leave() // of those from before that limit
		leave()
		turnedAway(t, r, p, host, "limited", "max_sessions_per_source")
		leave()
		come()
		use(1, 0)
		leave()
		turnedAway(t, r, p, host, "limited", "max_sessions")
		leave()
		come()
	})
}

// Many at once: no limit is overrun, and when they have left all places are free.
func TestLimitsUnderLoad(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const limit = 10
		r := harness.New(t, engine)
		target := r.Identify("it")
		p := r.Start(harness.Config{MaxWorkers: 100, Apps: []harness.App{{Targets: harness.To(target), MaxSessions: limit, MaxSessionsPerSource: limit}}})
		const clients, rounds = 40, 25
		ended := make(chan int, clients)
		for range clients {
			go func() {
				in := 0
				for range rounds {
					if name, err := r.Ask(p.Address()); err == nil && name == "it" {
						in++
					}
				}
				ended <- in
			}()
		}
		in := 0
		for range clients {
			in += <-ended
		}
		records := p.Records(clients * rounds)
		refused := 0
		for _, record := range records {
			if record.Cause == "limited" && record.Refused == "max_sessions" {
				refused++
			}
		}
		if refused+in != clients*rounds || target.Accepted() != in {
			t.Errorf("%d came in, %d were refused, %d reached the target, of %d", in, refused, target.Accepted(), clients*rounds)
		}
		for i := range limit { // all of which fit again
			if _, err := r.Dial(p.Address()).Name(); err != nil {
				t.Fatalf("client %d of %d: %v", i+1, limit, err)
			}
		}
		turnedAway(t, r, p, r.Host, "limited", "max_sessions")
	})
}
