package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/daemon"
	"tcp-proxy/internal/logging"
)

func newRun(use string) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   use,
		Short: "Run the proxy until a signal stops it",
		Long: "Runs the proxy. SIGTERM and SIGINT stop it: it accepts no more, lets open sessions finish for the time that\n" +
			"drain_timeout gives them, ends the rest, and exits. A second SIGINT ends them at once.",
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
	log, err := logging.New(os.Stderr, cfg.Log)
	if err != nil {
		return failure{exitConfig, err}
	}
	stop, hurry, release := onSignals()
	defer release()
	d, err := daemon.New(cfg, log)
	if err != nil {
		return failure{exitFailure, err}
	}
	if err := d.Run(stop, hurry); err != nil {
		return failure{exitFailure, fmt.Errorf("tcp-proxy: %w", err)}
	}
	return nil
}

// onSignals returns a context that is done on the first SIGTERM or SIGINT, and one that is done on a SIGINT after
// that. release ends both and gives the signals back.
func onSignals() (stop, hurry context.Context, release func()) {
	stop, stopNow := context.WithCancel(context.Background())
	hurry, hurryNow := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	go func() {
		for sig := range signals {
			if stop.Err() != nil && sig == unix.SIGINT {
				hurryNow()
			}
			stopNow()
		}
	}()
	return stop, hurry, func() {
		signal.Stop(signals)
		close(signals)
		stopNow()
		hurryNow()
	}
}
