package behaviour

import (
	"io"
	"strings"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// The record of a session says what its client and its target have counted.
func TestRecord(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(harness.App{Name: "shop", Targets: harness.To(target)})
		seen := map[uint64]bool{}
		for i, size := range []int{1, 1000, 65_536, 1_000_000} {
			begin := time.Now()
			client, server := p.Session(target)
			client.Exchange(server, []byte{1})
			sent := make(chan error, 1)
			go func() {
				_, err := client.Write(harness.Bytes(1, size))
				sent <- err
			}()
			server.Expect(harness.Bytes(1, size))
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			server.Exchange(client, harness.Bytes(2, i*100))
			server.CloseWrite()
			client.ExpectEOF()
			client.CloseWrite()
			server.ExpectEOF()
			record := p.ExpectCause(client, "target_closed")
			took := time.Since(begin)
			want := harness.Record{
				Level: "info", Session: record.Session, App: "shop", Port: record.Port, Client: client.LocalAddr().String(), Target: target.Address,
				Attempts: 1, ConnectUsec: record.ConnectUsec, DurationUsec: record.DurationUsec,
				BytesUp: int64(size) + 1, BytesDown: int64(i) * 100, Cause: "target_closed",
			}
			if record != want {
				t.Errorf("record %+v\nwant   %+v", record, want)
			}
			if !strings.HasSuffix(p.Address(), record.Port[strings.LastIndexByte(record.Port, ':')+1:]) || record.Port == "" {
				t.Errorf("port = %q in the record of a session on %s", record.Port, p.Address())
			}
			if record.Session == 0 || seen[record.Session] {
				t.Errorf("the ID of the session is %d; there were %v", record.Session, seen)
			}
			seen[record.Session] = true
			if record.DurationUsec <= 0 || record.DurationUsec > took.Microseconds() {
				t.Errorf("duration_usec = %d of a session that took %v", record.DurationUsec, took)
			}
			if record.ConnectUsec < 0 || record.ConnectUsec > record.DurationUsec {
				t.Errorf("connect_usec = %d, duration_usec = %d", record.ConnectUsec, record.DurationUsec)
			}
			client.Close()
			server.Close()
		}
		if n := len(p.Records(4)); n != 4 {
			t.Errorf("%d records of 4 sessions", n)
		}
	})
}

// A reset does not make the record forget what was moved before.
func TestRecordOfAResetSession(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.StartApp(harness.App{Targets: harness.To(target)})
		client, server := p.Session(target)
		client.Exchange(server, harness.Bytes(1, 3000))
		server.Exchange(client, harness.Bytes(2, 70_000))
		client.Abort()
		server.ExpectReset()
		record := p.ExpectCause(client, "client_reset")
		if record.BytesUp != 3000 || record.BytesDown != 70_000 {
			t.Errorf("%d bytes up and %d down, want 3000 and 70000", record.BytesUp, record.BytesDown)
		}
	})
}

// Port scans and health checks connect and leave. They are not worth a line to an operator.
func TestSilentClientsAreDebugLines(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.StartApp(harness.App{Targets: harness.To(r.Identify("here"))})
		const each = 8
		for range each {
			p.Dial().Close()
			p.Dial().Abort()
			client := p.Dial()
			if _, err := client.Name(); err != nil {
				t.Fatal(err)
			}
			client.CloseWrite()
			if _, err := io.Copy(io.Discard, client); err != nil {
				t.Fatal(err)
			}
		}
		for _, record := range p.Records(3 * each) {
			if record.Level != "debug" {
				t.Errorf("%s line about a client that never sent a byte: %+v", record.Level, record)
			}
		}
		client := p.Dial()
		client.Send([]byte("x"))
		client.CloseWrite()
		if _, err := io.Copy(io.Discard, client); err != nil {
			t.Fatal(err)
		}
		if record := p.RecordOf(client); record.Level != "info" {
			t.Errorf("%s line about a client that has sent: %+v", record.Level, record)
		}
		noise := p.Log.Count(func(line harness.Line) bool { return line.Level == "warning" || line.Level == "error" })
		if noise != 0 {
			t.Errorf("%d warnings and errors, want none", noise)
		}
	})
}

// With a sample, of those sessions that end well one in so many has a record, and every one that does not.
func TestSampleOfRecords(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const oneIn, sessions = 10, 50
		r := harness.New(t, engine)
		target := r.Echo()
		p := r.Start(harness.Config{Log: map[string]any{"level": "debug", "format": "json", "sessions": oneIn}, Apps: []harness.App{
			{Name: "good", Targets: harness.To(target)},
			{Name: "bad", Targets: []any{r.Refuse()}},
		}})
		for i := range sessions {
			c := r.Dial(p.AddressOf(0))
			c.Exchange(c, harness.Bytes(uint64(i), 10))
			c.CloseWrite()
			c.ExpectEOF()
			c.Close()
		}
		for range 3 {
			r.ExpectRefusal(p.AddressOf(1))
		}
		causes := map[string]int{}
		for _, record := range p.Records(sessions/oneIn + 3) {
			causes[record.Cause]++
		}
		if causes["client_closed"] != sessions/oneIn || causes["connect_failed"] != 3 {
			t.Errorf("records by cause: %v", causes)
		}
	})
}
