package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
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
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return s.run() },
	}
	s.addTo(cmd)
	return cmd
}

func (s *settings) run() error {
	cfg, err := s.loadFirst()
	if err != nil {
		return err
	}
	signals, release := onSignals()
	defer release()
	log, err := logging.New(os.Stderr, cfg.Log)
	if err != nil {
		return failure{exitConfig, err}
	}
	defer log.Close() // its error, that the log is blocked, cannot be logged
	log.TakeStandard()
	manager, err := systemd.NewNotifier()
	if err != nil {
		log.Warn("notifying systemd works only in part", logging.Fields{logging.ErrorKey: err})
	}
	sockets, err := systemd.Sockets()
	if err != nil {
		return failure{exitConfig, err}
	}
	d, err := daemon.New(signals.Stop, cfg, daemon.Source{Read: s.load, File: s.file, ReloadSocket: reloadSocket()}, version, log, manager, sockets)
	switch {
	case err != nil && signals.Stop.Err() != nil:
		return nil // stopped by a signal before it has started
	case errors.Is(err, proxy.ErrLeadsBack):
		return failure{exitConfig, err}
	case err != nil:
		return failure{exitFailure, err}
	}
	if err := d.Run(signals); err != nil {
		return failure{exitFailure, fmt.Errorf("tcp-proxy: %w", err)}
	}
	return nil
}

// reloadSocket returns the path of the socket through which systemctl reload requests a reload: reload.sock in the service's
// RuntimeDirectory=. Its path must not depend on the configuration, which may be changed or broken by then. It returns "" if
// this process is not a service of systemd with such a directory.
func reloadSocket() string {
	directory := systemd.RuntimeDirectory()
	if directory == "" {
		return ""
	}
	return filepath.Join(directory, "reload.sock")
}

// lastResort is the time after the second SIGINT when the process exits in any case.
const lastResort = 10 * time.Second

// onSignals turns signals into those of a daemon: the first SIGTERM or SIGINT into Stop, a later SIGINT into Hurry, and SIGHUP
// into Reload, where several before a reload begins are one. lastResort after Hurry it ends the process. release ends the
// handling of signals.
func onSignals() (requests daemon.Signals, release func()) {
	stop, stopNow := context.WithCancel(context.Background())
	hurry, hurryNow := context.WithCancel(context.Background())
	reload := make(chan struct{}, 1)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	signal.Ignore(unix.SIGPIPE) // the proxy goes on if the reader of the log is gone
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
