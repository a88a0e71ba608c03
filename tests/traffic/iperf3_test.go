package traffic

import (
	"encoding/json"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

func TestIperf3(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		server := r.Address()
		host, port, err := net.SplitHostPort(server)
		if err != nil {
			t.Fatal(err)
		}
		serve(t, exec.Command(program(t, "iperf3"), "--server", "--bind", host, "--port", port), server, syscall.SIGTERM)
		p := through(r, server)
		if host, port, err = net.SplitHostPort(p.Address()); err != nil {
			t.Fatal(err)
		}
		sessions, upload, download := 0, int64(0), int64(0)
		for _, way := range []struct {
			options []string
			streams int
		}{
			{nil, 1},
			{[]string{"--reverse"}, 1},
			{[]string{"--parallel", "4"}, 4},
			{[]string{"--bidir", "--parallel", "2"}, 4},
		} {
			var result struct {
				Error string
				End   map[string]json.RawMessage
			}
			harness.Eventually(t, "the server has ended the test before", func() bool {
				result.Error = ""
				text := run(t, "iperf3", append([]string{"--client", host, "--port", port, "--time", "1", "--json"}, way.options...)...)
				if err := json.Unmarshal([]byte(text), &result); err != nil {
					t.Fatalf("iperf3 %q: %v", way.options, err)
				}
				if strings.Contains(result.Error, "the server is busy") {
					sessions++ // one of control, with that answer
					return false
				}
				return true
			})
			if result.Error != "" {
				t.Fatalf("iperf3 %q: %s", way.options, result.Error)
			}
			for _, sums := range [][2]string{{"sum_sent", "sum_received"}, {"sum_sent_bidir_reverse", "sum_received_bidir_reverse"}} {
				if result.End[sums[0]] == nil && sums[0] != "sum_sent" {
					continue
				}
				var sent, received struct{ Bytes int64 }
				if err := json.Unmarshal(result.End[sums[0]], &sent); err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(result.End[sums[1]], &received); err != nil {
					t.Fatal(err)
				}
				// iperf3 hangs up with bytes under way, so less may have arrived than was sent.
				if received.Bytes < 1<<20 || received.Bytes > sent.Bytes {
					t.Errorf("iperf3 %q: %d bytes sent, %d received", way.options, sent.Bytes, received.Bytes)
				}
				if len(way.options) > 0 && way.options[0] == "--reverse" || sums[0] != "sum_sent" {
					download += received.Bytes
				} else {
					upload += received.Bytes
				}
			}
			sessions += 1 + way.streams // one for control
		}
		var up, down int64
		records := checkRecords(t, p, sessions)
		for _, record := range records {
			up, down = up+record.BytesUp, down+record.BytesDown
		}
		if len(records) != sessions || up < upload || down < download {
			t.Errorf("%d sessions with %d bytes up and %d down; iperf3 says %d with at least %d and %d", len(records), up, down, sessions, upload, download)
		}
	})
}
