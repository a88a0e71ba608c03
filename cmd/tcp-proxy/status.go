package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admin/client"
	"tcp-proxy/internal/admin/view"
	"tcp-proxy/internal/proxy"
)

// statusEvery is the interval between snapshots, over which rates are measured.
const statusEvery = time.Second

func newStatus() *cobra.Command {
	var r remote
	var raw, watch bool
	cmd := &cobra.Command{
		Use:   "status [APP...]",
		Short: "Show the state of the proxy: apps, ports, targets, and the last events",
		Long: "Shows the state of the proxy, with all apps or only those named. It measures rates over one second, so it takes that long.\n" +
			"A terminal of at least 118 columns, and a file or pipe, also get the weight, totals and bytes of each target.\n" +
			"With --watch it repeats every second until it is interrupted.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			ctx, release := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer release()
			s := shown{client: c, out: cmd.OutOrStdout(), apps: args}
			switch {
			case raw:
				err = s.bodies(ctx, watch)
			case watch:
				err = s.watch(ctx)
			default:
				err = s.once(ctx)
			}
			if err != nil && ctx.Err() == nil {
				return failure{exitFailure, err}
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return r.names(cmd.Context(), nil), cobra.ShellCompDirectiveNoFileComp
		},
	}
	r.addTo(cmd)
	cmd.Flags().BoolVar(&raw, "json", false, "print the response of the API; with --watch, one line every second")
	cmd.Flags().BoolVar(&watch, "watch", false, "repeat every second")
	return cmd
}

// shown prints the status.
type shown struct {
	client *client.Client
	out    io.Writer
	apps   []string
	before *proxy.Snapshot
}

// bodies prints the responses of the API, one or one every second.
func (s *shown) bodies(ctx context.Context, again bool) error {
	for {
		status, err := s.client.Status(ctx)
		if err != nil && status.Body == nil {
			return err
		}
		if _, err := s.out.Write(status.Body); err != nil || !again {
			return err
		}
		if !pause(ctx, nil) {
			return nil
		}
	}
}

// once takes two snapshots, and prints the second with the rates between them.
func (s *shown) once(ctx context.Context) error {
	first, err := s.client.Status(ctx)
	if err != nil {
		return err
	}
	s.before = &first.Snapshot
	if !pause(ctx, nil) {
		return nil
	}
	text, err := s.text(ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.out, text)
	return err
}

// text takes a snapshot and formats it, with the rates since the one before.
func (s *shown) text(ctx context.Context) (string, error) {
	status, err := s.client.Status(ctx)
	if err != nil {
		return "", err
	}
	text := view.Text(&status.Snapshot, view.Options{
		Program: status.Program, Width: widthOf(s.out), Colour: colourful(s.out), Before: s.before, Apps: s.apps,
	})
	s.before = &status.Snapshot
	return text, nil
}

// pause waits for statusEvery, or until woken has a value. It reports false if the context is done.
func pause(ctx context.Context, woken <-chan os.Signal) bool {
	timer := time.NewTimer(statusEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-woken:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
