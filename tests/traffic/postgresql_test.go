package traffic

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

// postgresql starts a server with its data in a folder of the rig, and returns where it listens: TCP and unix.
func postgresql(t *testing.T, r *harness.Rig) (address, socket string) {
	t.Helper()
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(folders) == 0 {
		t.Skip("SKIP: PostgreSQL is not installed: run `make deps`")
	}
	bin := folders[len(folders)-1]
	owner := unprivileged(t, "postgres")
	data, sockets := folder(r, "postgresql", owner), folder(r, "postgresql-sockets", owner)
	address = r.Address()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
	defer cancel()
	initdb := exec.CommandContext(ctx, bin+"/initdb", "--pgdata", data, "--username", "bench", "--auth", "trust",
		"--no-sync", "--encoding", "UTF8", "--locale", "C")
	initdb.SysProcAttr, initdb.Dir = &syscall.SysProcAttr{Credential: owner}, data
	succeed(t, initdb)

	server := exec.Command(bin+"/postgres", "-D", data, "-h", host, "-p", port, "-k", sockets, "-c", "fsync=off")
	server.SysProcAttr, server.Dir = &syscall.SysProcAttr{Credential: owner}, data
	serve(t, server, address, syscall.SIGINT) // without waiting for clients
	return address, sockets + "/.s.PGSQL." + port
}

func TestPostgreSQL(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		address, socket := postgresql(t, r)
		port := r.Address()
		host, number, err := net.SplitHostPort(port)
		if err != nil {
			t.Fatal(err)
		}
		// The second app is what libpq takes for the socket of a server.
		fake := folder(r, "sockets", nil)
		p := r.Start(harness.Config{MaxWorkers: 100, Apps: []harness.App{
			{Name: "tcp", Ports: []any{port}, Targets: []any{address}},
			{Name: "unix", Ports: []any{"unix:" + fake + "/.s.PGSQL." + number}, Targets: []any{"unix:" + socket}},
		}})
		for _, host := range []string{host, fake} {
			server := []string{"-h", host, "-p", number, "-U", "bench"}
			run(t, "pgbench", append(server, "--initialize", "--scale=2", "--quiet", "postgres")...)
			text := run(t, "pgbench", append(server, "--client=8", "--jobs=2", "--time=2", "--no-vacuum", "postgres")...)
			done := regexp.MustCompile(`transactions actually processed: (\d+)`).FindStringSubmatch(text)
			if done == nil || !strings.Contains(text, "number of failed transactions: 0 ") {
				t.Fatalf("pgbench:\n%s", text)
			}
			// Every transaction adds the same amount to an account, a teller and a branch, and writes it into the history.
			got := run(t, "psql", append(server, "-XAtq", "-c", `
				SELECT (SELECT count(*) FROM pgbench_accounts), (SELECT count(*) FROM pgbench_history),
				       h = (SELECT sum(abalance) FROM pgbench_accounts),
				       h = (SELECT sum(tbalance) FROM pgbench_tellers),
				       h = (SELECT sum(bbalance) FROM pgbench_branches)
				FROM (SELECT sum(delta) AS h FROM pgbench_history) AS history`, "postgres")...)
			if want := "200000|" + done[1] + "|t|t|t\n"; got != want {
				t.Errorf("through %s: accounts, history and balances: %q, want %q", host, got, want)
			}
		}
		// Eight clients of pgbench at a time, and what sets up and looks.
		checkRecords(t, p, 2*(8+2))
	})
}
