package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"tcp-proxy/internal/admin/client"
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
				fmt.Fprintln(cmd.OutOrStdout(), map[bool]string{true: "the node is draining: it keeps serving, but reports not ready", false: "the node is ready again"}[on])
				return nil
			}
			if err := c.DrainTarget(cmd.Context(), args[0], args[1], on); err != nil {
				return asked(err)
			}
			does := map[bool]string{true: "gets no new sessions", false: "gets new sessions again"}[on]
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
		cmd.Long = "Undoes drain: the target gets new sessions again, or, without arguments, the node reports ready."
	}
	r.addTo(cmd)
	return cmd
}

// names returns the completions of an argument: the apps of the proxy, or the targets of the app in args.
func (r *remote) names(ctx context.Context, args []string) (names []string) {
	c, err := r.client()
	if err != nil {
		return nil
	}
	s, err := c.Status(ctx)
	if err != nil {
		return nil
	}
	for _, app := range s.Apps {
		if len(args) == 0 {
			names = append(names, app.Name)
			continue
		}
		for _, t := range app.Targets {
			if app.Name == args[0] {
				names = append(names, t.Name, t.Address)
			}
		}
	}
	for i, name := range names {
		names[i] = sanitize.Text(name, sanitize.Limit) // the shell reads one a line
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// asked adds the exit code to an error of a request: exitConfig if the configuration was refused.
func asked(err error) error {
	var refused *client.Refused
	if errors.As(err, &refused) && refused.Code == http.StatusUnprocessableEntity {
		return failure{exitConfig, err}
	}
	return failure{exitFailure, err}
}
