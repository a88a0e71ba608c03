// Command bench compares tcp-proxy with HAProxy, nginx (stream), systemd-socket-proxyd and no proxy at all, in one run.
//
// A cell is one row (a kind of load) against one contestant. For each cell a target server, the contestant and a client
// are started afresh as processes of their own, in a network namespace of their own if the bench may make one, and stopped
// afterwards. The contestants of a row follow each other at once, in an order that rotates from one repeat to the
// next, so that whatever else the machine does meets all of them. The figures are medians over the repeats.
//
// The bench starts itself again as the target server, the client and the launcher of systemd-socket-proxyd.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The first argument with which the bench starts itself in another part.
const (
	partTarget = "part:target"
	partClient = "part:client"
	partLaunch = "part:launch"
)

func main() {
	if len(os.Args) > 2 && strings.HasPrefix(os.Args[1], "part:") {
		if err := runPart(os.Args[1], os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench %s: %v\n", strings.TrimPrefix(os.Args[1], "part:"), err)
			os.Exit(1)
		}
		return
	}
	// Network namespaces and parent-death signals belong to a thread: everything is started from this one.
	runtime.LockOSThread()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func runPart(part string, args []string) error {
	switch part {
	case partTarget:
		var order targetOrder
		if err := json.Unmarshal([]byte(args[0]), &order); err != nil {
			return err
		}
		return runTarget(order)
	case partClient:
		var order clientOrder
		if err := json.Unmarshal([]byte(args[0]), &order); err != nil {
			return err
		}
		return runClient(order)
	case partLaunch:
		return launchActivated(args)
	}
	return fmt.Errorf("unknown part %q", part)
}

// options are the command line.
type options struct {
	rows, contestants, engines []string // nil: all
	repeats                    int
	measure, warmup            time.Duration
	binary                     string // tcp-proxy; "" builds it
	user                       string // whom the contestants run as, if the bench is root
	out                        string
	docs                       string
	from                       string
	quick                      bool
	stock                      bool    // the peers are not tuned for bulk
	others                     float64 // percent of a core
}

func parseOptions(args []string) (options, error) {
	var o options
	list := func(into *[]string) func(string) error {
		return func(s string) error {
			*into = strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
			return nil
		}
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Func("rows", "rows to measure, separated by commas (default all): "+strings.Join(rowNames(), ","), list(&o.rows))
	f.Func("contestants", "contestants, separated by commas (default all): direct, the engines, haproxy, nginx, socket-proxyd", list(&o.contestants))
	f.Func("engines", "engines of tcp-proxy, separated by commas (default: those of loop,copy that the binary accepts)", list(&o.engines))
	f.IntVar(&o.repeats, "repeats", 5, "how often each cell is measured")
	f.DurationVar(&o.measure, "measure", 1400*time.Millisecond, "measured interval of a cell")
	f.DurationVar(&o.warmup, "warmup", 400*time.Millisecond, "load before the measured interval")
	f.BoolVar(&o.quick, "quick", false, "two minutes instead of fifteen: 2 repeats of 400ms after 150ms")
	f.StringVar(&o.binary, "binary", "", "tcp-proxy to measure (default: built from ./cmd/tcp-proxy)")
	f.StringVar(&o.user, "user", "nobody", "user that the contestants run as when the bench is root; empty: root")
	f.BoolVar(&o.stock, "stock", false, "do not tune the peers for the bulk rows")
	f.Float64Var(&o.others, "others", 25, "measure a cell again if others used more than so many percent of a core; at most a sixth of all cells, none with -quick")
	f.StringVar(&o.out, "out", "dist/bench", "directory for table.txt, results.json and the plots")
	f.StringVar(&o.docs, "docs", "", "Markdown file whose figures are replaced, between its markers; the plots and JSON go to a directory beside it")
	f.StringVar(&o.from, "from", "", "measure nothing: show the results of this results.json")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.quick {
		o.repeats, o.measure, o.warmup = 2, 400*time.Millisecond, 150*time.Millisecond
	}
	if o.repeats < 1 || o.measure <= 0 || o.warmup < 0 {
		return o, errors.New("repeats and measure must be positive")
	}
	return o, nil
}

func run(args []string) error {
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the bench at once; its children end with it
	}()
	var results *results
	if o.from != "" {
		results, err = readResults(o.from)
	} else {
		results, err = measureAll(ctx, o, args)
	}
	if err != nil {
		return err
	}
	return present(results, o)
}

// present prints the tables and writes the files.
func present(r *results, o options) error {
	text := tables(r) + "\n" + barsTable(judge(r))
	fmt.Print(text)
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.out, "table.txt"), []byte(text), 0o644); err != nil {
		return err
	}
	if err := writeResults(r, filepath.Join(o.out, "results.json")); err != nil {
		return err
	}
	if _, err := writePlots(r, o.out); err != nil {
		return err
	}
	fmt.Printf("\nwritten: %s/{table.txt,results.json,*.svg}\n", o.out)
	if o.docs == "" {
		return nil
	}
	return writeDocs(r, o.docs)
}
