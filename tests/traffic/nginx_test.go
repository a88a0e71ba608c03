package traffic

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"tcp-proxy/tests/harness"
)

func nginx(t *testing.T, r *harness.Rig, files map[string][]byte) string {
	t.Helper()
	return nginxLogging(t, r, files, "access_log off;")
}

// nginxLogging starts a server that logs as the directives say.
func nginxLogging(t *testing.T, r *harness.Rig, files map[string][]byte, logs string) string {
	t.Helper()
	root, address := folder(r, "nginx", nil), r.Address()
	for name, data := range files {
		write(t, data, root, name)
	}
	config := write(t, fmt.Appendf(nil, `
daemon off;
master_process off;
pid %[1]s/nginx.pid;
events { worker_connections 1000; }
http {
    %[3]s
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    server { listen %[2]s backlog=1024; root %[1]s; }
}
`, root, address, logs), root, "nginx.conf")
	command := exec.Command(program(t, "nginx"), "-c", config, "-p", root, "-e", "stderr")
	serve(t, command, address, syscall.SIGTERM)
	return address
}

func TestNginx(t *testing.T) {
	files := map[string][]byte{
		"empty": {}, "one": harness.Bytes(1, 1), "small": harness.Bytes(2, 1000), "page": harness.Bytes(3, 30_000), "large": harness.Bytes(4, 5_000_001),
	}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := through(r, nginx(t, r, files))
		url := "http://" + p.Address() + "/"

		requests := wrk(t, "-t2", "-c64", "-d2s", url+"page")
		short := wrk(t, "-t2", "-c16", "-d1s", "-H", "Connection: close", url+"small")
		t.Logf("%d requests over 64 connections, %d over one each", requests, short)

		var g errgroup.Group
		for range 4 {
			g.Go(func() error {
				for name, want := range files {
					if err := get(url+name, want); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, options := range [][]string{{"--http1.0"}, {"--http1.1"}, {"--limit-rate", "20M"}} {
			file := r.Path("curl.out")
			run(t, "curl", append(options, "--silent", "--show-error", "--fail", "--output", file, url+"large")...)
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, files["large"]) {
				t.Errorf("curl %q: %d bytes, %v; not what the server has", options, len(got), err)
			}
		}
		// Every request of its own connection has its own record.
		checkRecords(t, p, short)
	})
}

// wrk returns how many requests were answered, all of them well.
func wrk(t *testing.T, arguments ...string) int {
	t.Helper()
	text := run(t, "wrk", arguments...)
	if strings.Contains(text, "Socket errors") || strings.Contains(text, "Non-2xx") {
		t.Errorf("wrk %q:\n%s", arguments, text)
	}
	found := regexp.MustCompile(`(\d+) requests in`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("wrk %q:\n%s", arguments, text)
	}
	requests, err := strconv.Atoi(found[1])
	if err != nil || requests == 0 {
		t.Fatalf("wrk %q:\n%s", arguments, text)
	}
	return requests
}

var web = http.Client{Timeout: harness.Timeout}

func get(url string, want []byte) error {
	defer web.CloseIdleConnections()
	response, err := web.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK || !bytes.Equal(got, want) {
		return fmt.Errorf("%s: status %d and %d bytes, which are not those that the server has", url, response.StatusCode, len(got))
	}
	return nil
}
