package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// nginxStreamModule is where Debian's libnginx-mod-stream puts it. Where it is compiled in, there is no such file.
const nginxStreamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

// nginx is nginx with its stream module: one worker process a CPU, a listening socket for each, no logs. For bulk its
// buffers are 256 KiB each, which halves its CPU time there; elsewhere they stay at their 16 KiB.
func nginx() (contestant, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		return contestant{}, err
	}
	version, err := firstLine(path, "-v")
	if err != nil {
		return contestant{}, err
	}
	version = strings.TrimPrefix(version, "nginx version: ")
	return contestant{name: "nginx", role: rolePeer, version: version, workers: threads(), command: func(s site) (*exec.Cmd, error) {
		file, err := s.write("nginx.conf", nginxConfig(s))
		if err != nil {
			return nil, err
		}
		return exec.Command(path, "-e", "stderr", "-p", s.dir, "-c", file), nil
	}}, nil
}

func nginxConfig(s site) string {
	buffer := "16k"
	if s.bulk {
		buffer = "256k"
	}
	var b strings.Builder
	if _, err := os.Stat(nginxStreamModule); err == nil {
		fmt.Fprintf(&b, "load_module %s;\n", nginxStreamModule)
	}
	// A session is two connections, and any worker may get all of them.
	fmt.Fprintf(&b, `daemon off;
pid %s/nginx.pid;
error_log stderr error;
worker_processes %d;

events {
    use epoll;
    worker_connections %d;
}

stream {
    access_log off;
    tcp_nodelay on;
    proxy_connect_timeout 5s;
    proxy_timeout 1h;
    proxy_buffer_size %s;
    upstream targets {
`, s.dir, threads(), 2*s.capacity(), buffer)
	for _, t := range s.targets {
		fmt.Fprintf(&b, "        server %v max_fails=0;\n", t)
	}
	fmt.Fprintf(&b, `    }
    server {
        listen %v reuseport backlog=%d;
        proxy_pass targets;
    }
}
`, s.listen, listenBacklog)
	return b.String()
}
