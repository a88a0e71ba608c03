package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"tcp-proxy/internal/admin/client"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/sanitize"
)

func newReload() *cobra.Command {
	var r remote
	var quiet bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the proxy re-read its configuration; print what changed, or all errors",
		Long: "Makes the proxy re-read its configuration, and waits for the outcome: prints what changed, or all errors. After an\n" +
			"error the proxy keeps its current configuration; the exit code is 78 if the configuration has errors, else 1.",
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			changes, err := c.Reload(cmd.Context())
			if err != nil {
				return asked(err)
			}
			if !quiet {
				fmt.Fprintf(cmd.OutOrStdout(), "reloaded: %s\n", changes)
			}
			return nil
		},
	}
	r.addTo(cmd)
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print only errors")
	return cmd
}

// newDrain makes the command drain, or undrain if on is false.
func newDrain(on bool) *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "drain [APP TARGET]",
		Short: "Send a target no new sessions; without arguments, make the node report not ready",
		Long: "Sends a target no new sessions; open sessions go on. TARGET is the name that status shows, or the address in the\n" +
			"configuration, which stands for all addresses that it resolves to. Without arguments the whole node drains: it keeps\n" +
			"serving, but reports not ready to load balancers at /readyz.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if err := c.Drain(cmd.Context(), on); err != nil {
					return asked(err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), map[bool]string{true: "the node is draining: it keeps serving, but reports not ready", false: "the node no longer drains"}[on])
				return nil
			}
			if err := c.DrainTarget(cmd.Context(), args[0], args[1], on); err != nil {
				return asked(err)
			}
			does := map[bool]string{true: "gets no new sessions", false: "is no longer drained"}[on]
			fmt.Fprintf(cmd.OutOrStdout(), "%s of %s %s\n", args[1], args[0], does)
			return nil
		},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return fmt.Errorf("%s needs both APP and TARGET, or neither", cmd.Name())
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return r.names(cmd.Context(), args), cobra.ShellCompDirectiveNoFileComp
		},
	}
	if !on {
		cmd.Use = "undrain [APP TARGET]"
		cmd.Short = "Undo drain"
		cmd.Long = "Undoes drain: the target gets new sessions again unless it is dead or down, or, without arguments, the node reports ready."
	}
	r.addTo(cmd)
	return cmd
}

// names returns the completions of an argument: the apps of the proxy, or the targets of the app in args.
func (r *remote) names(ctx context.Context, args []string) (names []string) {
	if len(args) > 0 {
		return r.targets(ctx, args[0])
	}
	for _, app := range r.apps(ctx) {
		names = append(names, app.Name)
	}
	return completions(names)
}

// targets returns the completions of a target: those of an app, or of all apps if it is "".
func (r *remote) targets(ctx context.Context, ofApp string) (names []string) {
	for _, app := range r.apps(ctx) {
		for _, t := range app.Targets {
			if ofApp == "" || app.Name == ofApp {
				names = append(names, t.Name, t.Address)
			}
		}
	}
	return completions(names)
}

// apps returns the apps of the running proxy; none if it does not answer.
func (r *remote) apps(ctx context.Context) []proxy.App {
	c, err := r.client()
	if err != nil {
		return nil
	}
	s, err := c.Status(ctx)
	if err != nil {
		return nil
	}
	return s.Apps
}

// completions returns names as a shell reads them: sorted, each once.
func completions(names []string) []string {
	for i, name := range names {
		names[i] = oneLine(name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// oneLine makes a text fit for a shell, which reads a completion a line.
func oneLine(text string) string { return sanitize.Text(text, sanitize.Limit) }

// asked adds the exit code to an error of a request: exitConfig if the configuration was refused.
func asked(err error) error {
	var refused *client.Refused
	if errors.As(err, &refused) && refused.Code == http.StatusUnprocessableEntity {
		return failure{exitConfig, err}
	}
	return failure{exitFailure, err}
}
