// Command demo is what "make run" starts: two small targets that answer each line with their own name, and the proxy
// before them. It ends when it is interrupted, or when the proxy does.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
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

func run(proxy, config string) error {
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
	cmd := exec.Command(proxy, "run", "--config-file", config)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	fmt.Println("Two targets and the proxy are running. Try this in another terminal, more than once:\n\n" +
		"    nc localhost 5001\n\nand type a line: each connection reaches the next target. Ctrl-C stops it all.")
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM {
				cmd.Process.Signal(s)
			}
		}
	}()
	return cmd.Wait()
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
