package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/daemon"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/systemd"
)

func newRun(use string) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   use,
		Short: "Run the proxy until a signal stops it",
		Long: "Runs the proxy. SIGTERM and SIGINT stop it: it accepts no more connections, lets open sessions go on for up to\n" +
			"drain_timeout, ends the rest, and exits. A second SIGINT ends them at once. SIGHUP re-reads the configuration;\n" +
			"if it has an error, the proxy logs the error and keeps the current configuration.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return s.run() },
	}
	s.addTo(cmd)
	return cmd
}

func (s *settings) run() error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	told, release := onSignals()
	defer release()
	log, err := logging.New(os.Stderr, cfg.Log)
	if err != nil {
		return failure{exitConfig, err}
	}
	defer log.Close() // there is nobody to tell that it stands still
	log.TakeStandard()
	manager, err := systemd.NewNotifier()
	if err != nil {
		log.Warn("notifying systemd works only in part", logging.Fields{logging.ErrorKey: err})
	}
	sockets, err := systemd.Sockets()
	if err != nil {
		return failure{exitConfig, err}
	}
	d, err := daemon.New(told.Stop, cfg, daemon.Source{Read: s.load, File: s.file}, version, log, manager, sockets)
	switch {
	case err != nil && told.Stop.Err() != nil:
		return nil // stopped before it has started
	case errors.Is(err, proxy.ErrLeadsBack):
		return failure{exitConfig, err}
	case err != nil:
		return failure{exitFailure, err}
	}
	if err := d.Run(told); err != nil {
		return failure{exitFailure, fmt.Errorf("tcp-proxy: %w", err)}
	}
	return nil
}

// lastResort is how long the daemon may take to end when it was told to hurry.
const lastResort = 10 * time.Second

// onSignals tells a daemon to stop on the first SIGTERM or SIGINT, to hurry on a SIGINT after that, and to reload on
// SIGHUP; one reload that has not begun yet stands for all. A daemon that does not hurry is ended after lastResort. release
// gives the signals back.
func onSignals() (told daemon.Signals, release func()) {
	stop, stopNow := context.WithCancel(context.Background())
	hurry, hurryNow := context.WithCancel(context.Background())
	reload := make(chan struct{}, 1)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	signal.Ignore(unix.SIGPIPE) // who reads the log may go away, and the proxy goes on
	go func() {
		for sig := range signals {
			if sig == unix.SIGHUP {
				select {
				case reload <- struct{}{}:
				default:
				}
				continue
			}
			if stop.Err() != nil && sig == unix.SIGINT && hurry.Err() == nil {
				hurryNow()
				time.AfterFunc(lastResort, func() {
					logging.Fail(fmt.Errorf("tcp-proxy: still running %v after the second SIGINT; exiting at once", lastResort))
					os.Exit(exitFailure)
				})
			}
			stopNow()
		}
	}()
	return daemon.Signals{Stop: stop, Hurry: hurry, Reload: reload}, func() {
		signal.Stop(signals)
		close(signals)
		stopNow()
		hurryNow()
	}
}
