package behaviour

import (
	"testing"

	"tcp-proxy/tests/harness"
)

// refused wants the next client to be refused with a reset, and returns the record.
func refused(t *testing.T, r *harness.Rig, p *harness.Proxy, cause string) harness.Record {
	t.Helper()
	record := p.RecordOfAddress(r.ExpectRefusal(p.Address()))
	if record.Cause != cause {
		t.Fatalf("cause = %s, want %s", record.Cause, cause)
	}
	if (record.Target == "") != (record.Attempts == 0) {
		t.Errorf("%d attempts and target %q; want the last that was tried", record.Attempts, record.Target)
	}
	return record
}

func TestNoTargetLives(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.StartApp(harness.App{Targets: []any{r.Refuse(), r.Refuse(), "unix:" + r.Path("nobody.sock")}})
		for range 3 {
			// Dead or not, each is tried once.
			if record := refused(t, r, p, "connect_failed"); record.Attempts != 3 {
				t.Errorf("attempts = %d, want 3", record.Attempts)
			}
		}
	})
}

// What the client has sent before it is refused does not turn the reset into anything else.
func TestRefusedClientHasSent(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.StartApp(harness.App{Targets: []any{r.Blackhole()}, ConnectTimeout: "500ms"})
		client := p.Dial()
		client.Send(harness.Bytes(1, 1000))
		client.ExpectReset()
		p.ExpectCause(client, "connect_failed")
	})
}

func TestDownTargets(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		up, down := r.Identify("up"), r.Identify("down")
		p := r.StartApp(harness.App{Targets: []any{
			harness.TargetConfig{Address: down.Address, Down: true}, up.Address,
		}, RetryDeadAfter: "1h"})
		expectNames(t, r, p, "up", "up", "up")
		up.Stop()
		refused(t, r, p, "connect_failed")
		if n := down.Accepted(); n != 0 {
			t.Errorf("%d connections to a target that is down", n)
		}
	})
}

func TestOnlyDownTargets(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		down := r.Identify("down")
		p := r.StartApp(harness.App{Targets: []any{harness.TargetConfig{Address: down.Address, Down: true}}})
		if record := refused(t, r, p, "no_target"); record.Attempts != 0 {
			t.Errorf("attempts = %d, want 0", record.Attempts)
		}
	})
}
