// Command demo is what "make run" starts: two small targets that answer each line with their own name, and the proxy
// before them. It ends when it is interrupted, or when the proxy does.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"tcp-proxy/internal/config"
)

var targets = map[string]string{"target 1": "127.0.0.1:5101", "target 2": "127.0.0.1:5102"}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: demo TCP-PROXY CONFIG")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func run(proxy, file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	if socket(cfg) == "" {
		return fmt.Errorf("%s has no unix socket in admin.listen", file)
	}
	for name, address := range targets {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		go serve(l, name)
	}
	// A Ctrl-C reaches the proxy by itself, as one of the terminal's foreground group; a SIGTERM is passed on.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	cmd := exec.Command(proxy, "run", "--config-file", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM {
				cmd.Process.Signal(s)
			}
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := await(cfg, ended); err != nil {
		return err
	}
	explain(os.Stdout, proxy, cfg)
	return <-ended
}

// await waits until the proxy accepts connections at its admin socket, or has ended.
func await(cfg *config.Config, ended <-chan error) error {
	for {
		select {
		case err := <-ended:
			return errors.Join(errors.New("the proxy has ended"), err)
		case <-time.After(50 * time.Millisecond):
		}
		if conn, err := net.Dial("unix", socket(cfg)); err == nil {
			return conn.Close()
		}
	}
}

// explain writes what to try. It is the same as in README.md.
func explain(w io.Writer, proxy string, cfg *config.Config) {
	fmt.Fprintf(w, `
Two targets and the proxy are running. Ctrl-C stops them. Try this in another terminal:

    nc localhost 5001     # type a line; each connection reaches the next target
    %[1]s status --socket %[2]s
    %[1]s drain --socket %[2]s demo 127.0.0.1:5101     # undo: undrain

`, proxy, socket(cfg))
	for _, a := range cfg.Admin.Listen {
		if a.Network != "unix" {
			fmt.Fprintf(w, "The status page: http://localhost:%d\n\n", a.Addr.Port())
		}
	}
}

// socket returns the path of the admin socket, or "".
func socket(cfg *config.Config) string {
	for _, a := range cfg.Admin.Listen {
		if a.Network == "unix" {
			return a.Path
		}
	}
	return ""
}

// serve answers each line of each connection with the target's name and the line.
func serve(l net.Listener, name string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			fmt.Fprintf(os.Stderr, "demo: %s: %v\n", name, err)
			return
		}
		go answer(conn, name)
	}
}

func answer(conn net.Conn, name string) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if _, err := fmt.Fprintf(conn, "%s: %s\n", name, lines.Text()); err != nil {
			return
		}
	}
}
