package traffic

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

// haproxy starts HAProxy with these sections of its configuration, and waits until it listens at the address.
func haproxy(t *testing.T, r *harness.Rig, address, sections string) {
	t.Helper()
	root := folder(r, "haproxy-"+address, nil)
	config := write(t, fmt.Appendf(nil, `
defaults
    timeout connect 10s
    timeout client 60s
    timeout server 60s
%s`, sections), root, "haproxy.cfg")
	serve(t, exec.Command(program(t, "haproxy"), "-db", "-f", config), address, syscall.SIGTERM)
}

// Peers that end in HTTP answer every request with the address that they hold for the client's.

// nginxBehind takes PROXY headers, of either version.
func nginxBehind(t *testing.T, r *harness.Rig) string {
	t.Helper()
	root, address := folder(r, "nginx-behind", nil), r.Address()
	config := write(t, fmt.Appendf(nil, `
daemon off;
master_process off;
pid %[1]s/nginx.pid;
events { worker_connections 1000; }
http {
    access_log off;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    server {
        listen %[2]s proxy_protocol backlog=1024;
        location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port to $proxy_protocol_server_addr:$proxy_protocol_server_port"; }
    }
}
`, root, address), root, "nginx.conf")
	serve(t, exec.Command(program(t, "nginx"), "-c", config, "-p", root, "-e", "stderr"), address, syscall.SIGTERM)
	return address
}

// haproxyBehind takes PROXY headers, of either version.
func haproxyBehind(t *testing.T, r *harness.Rig) string {
	t.Helper()
	address := r.Address()
	haproxy(t, r, address, fmt.Sprintf(`
frontend behind
    mode http
    bind %s accept-proxy
    http-request return status 200 content-type text/plain lf-string "%%[src]:%%[src_port] to %%[dst]:%%[dst_port]"
`, address))
	return address
}

// haproxyInFront sends PROXY headers to the address, as the options of its server say. Its checks of the server send
// headers too, of a connection of its own.
func haproxyInFront(t *testing.T, r *harness.Rig, to, options string) string {
	t.Helper()
	address := r.Address()
	haproxy(t, r, address, fmt.Sprintf(`
listen front
    mode tcp
    bind %s
    server proxy %s check inter 100ms %s
`, address, to, options))
	return address
}

// nginxInFront sends PROXY headers to the address, of version 1.
func nginxInFront(t *testing.T, r *harness.Rig, to string) string {
	t.Helper()
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(module); err != nil {
		t.Skipf("SKIP: nginx has no stream module: %v: run `make deps`", err)
	}
	root, address := folder(r, "nginx-in-front", nil), r.Address()
	config := write(t, fmt.Appendf(nil, `
daemon off;
master_process off;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
pid %[1]s/nginx.pid;
events { worker_connections 1000; }
stream {
    server { listen %[2]s backlog=1024; proxy_pass %[3]s; proxy_protocol on; }
}
`, root, address, to), root, "nginx.conf")
	serve(t, exec.Command(program(t, "nginx"), "-c", config, "-p", root, "-e", "stderr"), address, syscall.SIGTERM)
	return address
}

// told asks over a new connection from the host what the peer behind holds for the two addresses, and returns what is
// right as well.
func told(t *testing.T, host, address string) (got, want string) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}, Timeout: harness.Timeout}
	c, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client := http.Client{
		Timeout: harness.Timeout,
		Transport: &http.Transport{
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return c, nil },
			DisableKeepAlives: true,
		},
	}
	response, err := client.Do(&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: address, Path: "/"}})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), fmt.Sprintf("%v to %v", c.LocalAddr(), c.RemoteAddr())
}

// The address of a client comes through two proxies to the server, whoever the peers are.
func TestProxyProtocolBetweenPeers(t *testing.T) {
	behind := map[string]func(*testing.T, *harness.Rig) string{"nginx": nginxBehind, "haproxy": haproxyBehind}
	front := map[string]func(t *testing.T, r *harness.Rig, to string) string{
		"nginx": nginxInFront,
		"haproxy v1": func(t *testing.T, r *harness.Rig, to string) string {
			return haproxyInFront(t, r, to, "send-proxy")
		},
		"haproxy v2": func(t *testing.T, r *harness.Rig, to string) string {
			return haproxyInFront(t, r, to, "send-proxy-v2")
		},
		"haproxy v2, extensions": func(t *testing.T, r *harness.Rig, to string) string {
			return haproxyInFront(t, r, to, "send-proxy-v2-ssl proxy-v2-options crc32c,unique-id,ssl,cert-cn,authority")
		},
	}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, way := range [][3]string{ // each sender with each version that is sent, and with each server
			{"nginx", "v1", "nginx"}, {"nginx", "v2", "haproxy"},
			{"haproxy v1", "v1", "haproxy"}, {"haproxy v1", "v2", "nginx"},
			{"haproxy v2", "v1", "nginx"}, {"haproxy v2", "v2", "haproxy"},
			{"haproxy v2, extensions", "v1", "haproxy"}, {"haproxy v2, extensions", "v2", "nginx"},
		} {
			t.Run(fmt.Sprintf("%s, %s, %s", way[0], way[1], way[2]), func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				p := r.StartApp(harness.App{
					Targets:             []any{behind[way[2]](t, r)},
					AcceptProxyProtocol: &harness.AcceptProxyProtocol{From: []string{"127.0.0.0/8"}, Timeout: "10s"},
					SendProxyProtocol:   way[1],
				})
				address := front[way[0]](t, r, p.Address())
				for range 5 {
					if got, want := told(t, r.AnotherHost(), address); got != want {
						t.Fatalf("the server was told %q, want %q", got, want)
					}
				}
			})
		}
	})
}

// A server behind the proxy is told of plain clients too, and many short connections all are right.
func TestSendProxyProtocolToServers(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, version := range []string{"v1", "v2"} {
			t.Run(version, func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				for name, address := range map[string]string{"nginx": nginxBehind(t, r), "haproxy": haproxyBehind(t, r)} {
					p := r.Start(harness.Config{MaxWorkers: 200, Apps: []harness.App{{Targets: []any{address}, SendProxyProtocol: version}}})
					for range 20 {
						if got, want := told(t, r.AnotherHost(), p.Address()); got != want {
							t.Fatalf("%s was told %q, want %q", name, got, want)
						}
					}
					n := wrk(t, "-t2", "-c16", "-d1s", "-H", "Connection: close", "http://"+p.Address()+"/")
					checkRecords(t, p, n)
				}
			})
		}
	})
}

// Bulk through real peers on both sides is exact.
func TestTrafficBehindProxyHeaders(t *testing.T) {
	files := map[string][]byte{"empty": {}, "large": harness.Bytes(4, 5_000_001)}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.Start(harness.Config{MaxWorkers: 200, Apps: []harness.App{{
			Targets:             []any{nginx(t, r, files)},
			AcceptProxyProtocol: &harness.AcceptProxyProtocol{From: []string{"127.0.0.0/8"}},
		}}})
		for _, options := range []string{"send-proxy", "send-proxy-v2"} {
			address := haproxyInFront(t, r, p.Address(), options)
			for range 5 {
				for name, want := range files {
					if err := get("http://"+address+"/"+name, want); err != nil {
						t.Fatal(err)
					}
				}
			}
			n := wrk(t, "-t2", "-c16", "-d1s", "-H", "Connection: close", "http://"+address+"/empty")
			t.Logf("%s: %d requests over one connection each", options, n)
		}
	})
}
