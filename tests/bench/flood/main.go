// Command flood measures how much clients that flood a proxy slow down other clients: the rate of sessions that send as
// fast as they can, and the time of 64-byte requests of other clients at the same time. Its arguments are the binaries to
// compare; they take turns, and the figures are medians over the repeats.
//
//	go run ./tests/bench/flood -flooders 16,150 BINARY ...
//
// It starts itself again as the target servers, the flooding clients and the other clients.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses of the proxy and the target, one for the flood and one for requests.
var (
	sinkPort, echoPort = "127.0.0.1:7311", "127.0.0.1:7312"
	sink, echo         = "127.0.0.1:7313", "127.0.0.1:7314"
)

const (
	askers  = 8                    // sessions that make requests
	pause   = 2 * time.Millisecond // between an answer and the next request
	warmup  = 300 * time.Millisecond
	request = 64
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "flood: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "part:sink":
			return serveSink()
		case "part:echo":
			return serveEcho()
		case "part:send":
			return part(args[1:], send)
		case "part:ask":
			return part(args[1:], ask)
		}
	}
	f := flag.NewFlagSet("flood", flag.ContinueOnError)
	flooders := f.String("flooders", "16,50,150", "how many clients flood, separated by commas")
	repeats := f.Int("repeats", 5, "how often each is measured")
	measure := f.Duration("measure", time.Second, "how long each time")
	if err := f.Parse(args); err != nil {
		return err
	}
	for _, n := range strings.Split(*flooders, ",") {
		if err := compare(f.Args(), n, *repeats, *measure); err != nil {
			return err
		}
	}
	return nil
}

// part runs a part that is given a number and a duration.
func part(args []string, f func(n int, d time.Duration) error) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	return f(n, d)
}

// figures are what one measurement gives.
type figures struct {
	rate          float64 // MB/s of the flood
	p50, p99, cpu time.Duration
}

func compare(binaries []string, flooders string, repeats int, measure time.Duration) error {
	all := make([][]figures, len(binaries))
	for repeat := range repeats {
		for i := range binaries {
			i := (i + repeat) % len(binaries)
			x, err := measureOnce(binaries[i], flooders, measure)
			if err != nil {
				return fmt.Errorf("%s: %w", binaries[i], err)
			}
			all[i] = append(all[i], x)
		}
	}
	for i, binary := range binaries {
		fmt.Printf("%4s flooders  %-24s %7.0f MB/s  p50 %8.2f ms  p99 %8.2f ms  %.3f s CPU/GB\n", flooders, filepath.Base(binary),
			median(all[i], func(x figures) float64 { return x.rate }),
			median(all[i], func(x figures) float64 { return float64(x.p50) / 1e6 }),
			median(all[i], func(x figures) float64 { return float64(x.p99) / 1e6 }),
			median(all[i], func(x figures) float64 { return x.cpu.Seconds() }))
	}
	return nil
}

func median(all []figures, of func(figures) float64) float64 {
	var list []float64
	for _, x := range all {
		list = append(list, of(x))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// measureOnce starts everything, measures, and stops everything.
func measureOnce(binary, flooders string, measure time.Duration) (x figures, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second+measure)
	defer cancel()
	dir, err := os.MkdirTemp("", "flood-")
	if err != nil {
		return x, err
	}
	defer os.RemoveAll(dir)
	app := func(name, port, target string) map[string]any {
		return map[string]any{"name": name, "ports": []string{port}, "targets": []string{target}}
	}
	config, err := json.Marshal(map[string]any{
		"max_workers": 1000, "apps": []any{app("flood", sinkPort, sink), app("others", echoPort, echo)},
	})
	if err != nil {
		return x, err
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return x, err
	}
	target := exec.CommandContext(ctx, os.Args[0], "part:sink")
	counts, err := target.StdoutPipe()
	if err != nil {
		return x, err
	}
	ask, err := target.StdinPipe()
	if err != nil {
		return x, err
	}
	proxy := exec.CommandContext(ctx, binary, "--config-file", file)
	for _, c := range []*exec.Cmd{target, exec.CommandContext(ctx, os.Args[0], "part:echo"), proxy} {
		if err := c.Start(); err != nil {
			return x, err
		}
		defer func() {
			c.Process.Kill()
			c.Wait()
		}()
	}
	for _, address := range []string{sink, echo, sinkPort, echoPort} {
		if err := await(address); err != nil {
			return x, err
		}
	}
	whole := measure + warmup
	sender := exec.CommandContext(ctx, os.Args[0], "part:send", flooders, whole.String())
	if err := sender.Start(); err != nil {
		return x, err
	}
	time.Sleep(warmup)
	before, err := count(ask, counts)
	busy := cpu(proxy.Process.Pid)
	if err != nil {
		return x, err
	}
	text, err := exec.CommandContext(ctx, os.Args[0], "part:ask", strconv.Itoa(askers), measure.String()).Output()
	if err != nil {
		return x, err
	}
	after, err := count(ask, counts)
	busier := cpu(proxy.Process.Pid)
	if err != nil {
		return x, err
	}
	if err := sender.Wait(); err != nil {
		return x, err
	}
	if err := json.Unmarshal(text, &[]any{&x.p50, &x.p99}); err != nil {
		return x, err
	}
	moved := float64(after - before)
	x.rate = moved / 1e6 / measure.Seconds()
	x.cpu = time.Duration(float64(busier-busy) / (moved / 1e9))
	return x, nil
}

// count asks the sink how many bytes it has had.
func count(ask io.Writer, answers io.Reader) (n int64, err error) {
	if _, err = fmt.Fprintln(ask); err == nil {
		_, err = fmt.Fscanln(answers, &n)
	}
	return n, err
}

// cpu is the processor time of a process: fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
func cpu(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[14-3])
	system, _ := strconv.Atoi(fields[15-3])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func await(address string) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return err
		}
	}
}

// serveSink is a target that discards what arrives. For each line on its input it prints the number of bytes.
func serveSink() error {
	l, err := net.Listen("tcp", sink)
	if err != nil {
		return err
	}
	var had atomic.Int64
	go accept(l, func(c *net.TCPConn) { discard(c, &had) })
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(had.Load())
	}
	return nil
}

// serveEcho is the target of requests.
func serveEcho() error {
	l, err := net.Listen("tcp", echo)
	if err != nil {
		return err
	}
	accept(l, func(c *net.TCPConn) {
		p := make([]byte, request)
		for {
			n, err := c.Read(p)
			if err != nil {
				return
			}
			if _, err := c.Write(p[:n]); err != nil {
				return
			}
		}
	})
	return nil
}

func accept(l net.Listener, handle func(*net.TCPConn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			handle(c.(*net.TCPConn))
		}()
	}
}

// discard throws away what comes without copying it (MSG_TRUNC of tcp(7)).
func discard(c *net.TCPConn, had *atomic.Int64) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	p := make([]byte, 1<<20)
	raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := unix.Recvfrom(int(fd), p, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return false
			case errors.Is(err, unix.EINTR):
			case err != nil || n == 0:
				return true
			default:
				had.Add(int64(n))
				runtime.Gosched()
			}
		}
	})
}

// send is the clients that flood.
func send(n int, d time.Duration) error {
	end := time.Now().Add(d)
	p := make([]byte, 256<<10)
	return each(n, sinkPort, func(c net.Conn) error {
		c.SetDeadline(end)
		for {
			if _, err := c.Write(p); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					return nil
				}
				return err
			}
		}
	})
}

// ask is the other clients. It prints the median and the 99th percentile of all their requests.
func ask(n int, d time.Duration) error {
	end := time.Now().Add(d)
	var mu sync.Mutex
	var all []time.Duration
	err := each(n, echoPort, func(c net.Conn) error {
		p := make([]byte, request)
		for {
			begun := time.Now()
			if begun.After(end) {
				return nil
			}
			if _, err := c.Write(p); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, p); err != nil {
				return err
			}
			took := time.Since(begun)
			mu.Lock()
			all = append(all, took)
			mu.Unlock()
			time.Sleep(pause)
		}
	})
	if err != nil {
		return err
	}
	slices.Sort(all)
	return json.NewEncoder(os.Stdout).Encode([]time.Duration{all[len(all)/2], all[len(all)*99/100]})
}

// each runs f over n connections at the same time.
func each(n int, address string, f func(net.Conn) error) error {
	errs := make(chan error, n)
	for range n {
		go func() {
			c, err := net.Dial("tcp", address)
			if err == nil {
				err = f(c)
				c.Close()
			}
			errs <- err
		}()
	}
	var err error
	for range n {
		err = errors.Join(err, <-errs)
	}
	return err
}
