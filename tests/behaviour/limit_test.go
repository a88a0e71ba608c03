package behaviour

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// fewest is the lowest limit of descriptors at which check accepts a configuration, which the rig has written.
func fewest(t *testing.T, r *harness.Rig, engine string) int {
	t.Helper()
	needs := regexp.MustCompile(`may need (\d+) descriptors`)
	for limit := 100; ; {
		ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
		result := harness.RunCommand(t, exec.CommandContext(ctx, "sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(limit),
			harness.Binary(), "check", "--engine", engine, "--config-file", r.Path("config.json")))
		cancel()
		if result.Code == 0 {
			return limit
		}
		m := needs.FindStringSubmatch(result.Stderr)
		if m == nil {
			t.Fatalf("check with %d descriptors: %s", limit, result.Stderr)
		}
		limit, _ = strconv.Atoi(m[1]) // more checks of targets fit a higher limit, so that this may not be enough yet
	}
}

// A proxy that has just the descriptors which check wants has all its workers busy, with receivers that stand still and
// have it hold pipes, and then all with two addresses that do not answer, and never lacks a descriptor.
func TestDescriptorsAreEnough(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const workers, stuck = 300, 40
		r := harness.New(t, engine)
		port := r.BlackholeAt("[::1]:0")
		r.BlackholeAt(net.JoinHostPort(r.Host, port))
		names := r.Nameserver()
		names.Set(r.Host+" slow.internal", "::1 slow.internal")
		still := r.Listen()
		never := &harness.Probe{When: "never"}
		config := harness.Config{MaxWorkers: workers, Apps: []harness.App{
			{Name: "still", Ports: []any{r.Address()}, Targets: harness.To(still), Probe: never},
			{Name: "slow", Ports: []any{r.Address()}, Targets: []any{"slow.internal:" + port}, ConnectTimeout: "20s", Probe: never},
		}}
		text, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.Path("config.json"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		r.Descriptors = fewest(t, r, engine)
		p := r.Start(config)

		var clients []*harness.Conn
		for range workers {
			client, _ := p.Session(still)
			clients = append(clients, client)
		}
		for i, client := range clients[:stuck] { // as much as it takes
			_ = client.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = client.Write(harness.Bytes(uint64(i), 16<<20))
		}
		if _, pipes := p.Descriptors(); pipes == 0 {
			t.Error("it holds no pipe")
		}
		for _, client := range clients {
			client.Abort()
		}
		p.Records(workers)

		full := harness.Warning("too many open files")
		for range workers {
			r.Dial(p.AddressOf(1))
		}
		harness.Eventually(t, fmt.Sprintf("%d sessions have three sockets", workers), func() bool {
			all, pipes := p.Descriptors()
			return all-pipes >= 3*workers || p.Log.Count(full) > 0
		})
		if n := p.Log.Count(full); n > 0 {
			t.Errorf("with %d descriptors there are too few, %d times", r.Descriptors, n)
		}
	})
}
