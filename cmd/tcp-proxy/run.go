package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/daemon"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/systemd"
)

func newRun(use string, caught chan os.Signal) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   use,
		Short: "Run the proxy until a signal stops it",
		Long: "Runs the proxy. SIGTERM and SIGINT stop it: it accepts no more connections, lets open sessions go on for up to\n" +
			"drain_timeout, ends the rest, and exits. A second SIGINT ends them at once. SIGHUP re-reads the configuration;\n" +
			"if it has an error, the proxy logs the error and keeps the current configuration.",
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return s.run(caught) },
	}
	s.addTo(cmd)
	return cmd
}

func (s *settings) run(caught chan os.Signal) error {
	cfg, err := s.loadFirst()
	if err != nil {
		return err
	}
	signals, release := onSignals(caught)
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
	sockets, stored, err := systemd.Sockets()
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
	discard(stored, manager, log)
	if err := d.Run(signals); err != nil {
		return failure{exitFailure, fmt.Errorf("tcp-proxy: %w", err)}
	}
	return nil
}

// discard gives up what systemd has stored for another release, which may be the sockets of sessions: their peers are reset.
func discard(stored systemd.Stored, manager *systemd.Notifier, log *logging.Logger) {
	names := stored.Names()
	if len(names) == 0 {
		return
	}
	fields := logging.Fields{"names": strings.Join(names, " ")}
	if err := stored.Discard(manager); err != nil {
		fields[logging.ErrorKey] = err
	}
	log.Warn("systemd has stored descriptors for another version of tcp-proxy: they are closed", fields)
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

// catchSignals begins to catch the signals of run. The Go runtime ends the process at those that come before.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	return signals
}

// leaveSignals is for commands other than run: the signals do what they do by default, also those that were caught before.
func leaveSignals(caught chan os.Signal) {
	signal.Stop(caught)
	for {
		select {
		case sig := <-caught:
			unix.Kill(os.Getpid(), sig.(unix.Signal)) // it cannot fail
		default:
			return
		}
	}
}

// onSignals turns signals that are caught into those of a daemon: the first SIGTERM or SIGINT into Stop, a later SIGINT into
// Hurry, and SIGHUP into Reload, where several before a reload begins are one. lastResort after Hurry it ends the process.
// release ends the handling of signals.
func onSignals(signals chan os.Signal) (requests daemon.Signals, release func()) {
	stop, stopNow := context.WithCancel(context.Background())
	hurry, hurryNow := context.WithCancel(context.Background())
	reload := make(chan struct{}, 1)
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
