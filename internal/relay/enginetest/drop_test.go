package enginetest

import (
	"testing"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// A target that ends sessions at once, without a byte, is counted; one that has a reason to end them, or did not do it,
// is not.
func TestEarlyCloses(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
		dropped := int64(0)
		expect := func(what string, more int64, cause relay.Cause) {
			r.Helper()
			dropped += more
			rec := r.expectCause(cause)
			if n := r.targets()[0].Condition().Early; n != dropped {
				r.Fatalf("%s: %d early closes, want %d; %+v", what, n, dropped, rec)
			}
		}
		tcp := r.target.Addr().Network() == "tcp"

		client, server := r.session()
		server.Close()
		r.expectEOF(client)
		client.Close()
		expect("closed at once", 1, relay.TargetClosed)

		client, server = r.session()
		if err := send(client, 1, 100, 100); err != nil {
			r.Fatal(err)
		}
		if err := receive(server, 1, 100); err != nil {
			r.Fatal(err)
		}
		server.CloseWrite()
		r.expectEOF(client)
		client.Close()
		expect("finished without an answer", 1, relay.TargetClosed)

		if tcp {
			client, server = r.session()
			testkit.Reset(server)
			if client.LocalAddr().Network() == "tcp" {
				r.expectReset(client)
			} else {
				r.expectEOF(client)
			}
			expect("reset at once", 1, relay.TargetReset)
		}

		client, server = r.session()
		client.CloseWrite()
		r.expectEOF(server)
		server.Close()
		r.expectEOF(client)
		expect("closed after the client", 0, relay.ClientClosed)

		client, server = r.session()
		r.exchange(server, client, 1)
		server.CloseWrite()
		r.expectEOF(client)
		client.Close()
		expect("closed after a byte", 0, relay.TargetClosed)

		if client, server = r.session(); client.LocalAddr().Network() == "tcp" {
			r.exchange(client, server, 1)
			testkit.Reset(client)
			expect("reset by the client", 0, relay.ClientReset)
		} else {
			r.finish(client, server)
		}

		client, server = r.session()
		r.exchange(client, server, 1)
		time.Sleep(time.Second + 50*time.Millisecond) // early is within a second of the connect
		server.CloseWrite()
		r.expectEOF(client)
		client.Close()
		expect("closed late", 0, relay.TargetClosed)
	})
}
