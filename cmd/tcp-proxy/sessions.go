package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/admin/view"
	"tcp-proxy/internal/proxy"
)

func newSessions() *cobra.Command {
	var r remote
	var raw bool
	filters := map[string]*string{}
	limit := sessionLimit(proxy.DefaultSessions)
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List open sessions: ID, client, target, age, bytes, idle time and state",
		Long: "Lists open sessions, the one that has been open longest first. The number in the first column is for close, and is in\n" +
			"the record of the session in the log (SESSION=).",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {limit.String()}}
			for name, value := range filters {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			if client := *filters["client"]; client != "" {
				if _, err := proxy.ParseClientPattern(client); err != nil {
					return fmt.Errorf("--client: %w", err)
				}
			}
			if state := *filters["state"]; state != "" && !slices.Contains(admin.SessionStates(), state) {
				return fmt.Errorf("--state must be one of %s, not %q", strings.Join(admin.SessionStates(), ", "), state)
			}
			return r.listSessions(cmd.Context(), cmd.OutOrStdout(), query, raw)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	r.addTo(cmd)
	for name, usage := range map[string]string{
		"app":    "only sessions of this app",
		"target": "only sessions to this target: its name in status, or its address in the configuration",
		"client": "only sessions of this client: an IP address, with a port or without, a network such as 10.0.0.0/8, or unix:",
		"state":  "only sessions in this state",
		"search": "only sessions with these words in the ID, state, app, port, client or target",
	} {
		filters[name] = cmd.Flags().String(name, "", usage)
	}
	cmd.Flags().Var(&limit, "limit", fmt.Sprintf("list at most so many, up to %d", proxy.MaxSessions))
	cmd.Flags().BoolVar(&raw, "json", false, "print the response of the API")
	complete := func(flag string, names func(context.Context) []string) {
		if err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return names(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
		}); err != nil {
			panic(err) // the flag was added above
		}
	}
	complete("app", func(ctx context.Context) []string { return r.names(ctx, nil) })
	complete("target", func(ctx context.Context) []string { return r.targets(ctx, *filters["app"]) })
	complete("state", func(context.Context) []string { return admin.SessionStates() })
	for _, none := range []string{"client", "search", "limit"} {
		complete(none, func(context.Context) []string { return nil })
	}
	return cmd
}

// listSessions prints the sessions of a query.
func (r *remote) listSessions(ctx context.Context, out io.Writer, query url.Values, raw bool) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	list, err := c.Sessions(ctx, query)
	switch {
	case raw && list.Body != nil:
		_, err = out.Write(list.Body)
	case err == nil:
		_, err = io.WriteString(out, view.Sessions(&list.Sessions, view.Options{Width: widthOf(out), Colour: colourful(out)}))
	}
	if err != nil {
		return failure{exitFailure, err}
	}
	return nil
}

func newClose() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "close SESSION",
		Short: "Reset an open session on both sides",
		Long: "Resets an open session on both sides. SESSION is its number in the list of sessions. Its record in the log has the cause\n" +
			"operator_reset.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("close needs one SESSION: its number, as tcp-proxy sessions shows it")
			}
			if _, err := strconv.ParseUint(args[0], 10, 64); err != nil {
				return fmt.Errorf("%q is no session: write its number, as tcp-proxy sessions shows it", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return err // Args has checked it
			}
			c, err := r.client()
			if err != nil {
				return err
			}
			if err := c.CloseSession(cmd.Context(), id); err != nil {
				return asked(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "session %d is closed\n", id)
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return r.openSessions(cmd.Context()), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		},
	}
	r.addTo(cmd)
	return cmd
}

// openSessions returns the completions of the ID of a session, with its client and target.
func (r *remote) openSessions(ctx context.Context) (ids []string) {
	c, err := r.client()
	if err != nil {
		return nil
	}
	list, err := c.Sessions(ctx, nil)
	if err != nil {
		return nil
	}
	for _, s := range list.Sessions.Sessions {
		ids = append(ids, cobra.CompletionWithDesc(strconv.FormatUint(s.ID, 10), oneLine(s.Client+" to "+s.Target)))
	}
	return ids
}

// sessionLimit is the value of --limit.
type sessionLimit int

func (l *sessionLimit) String() string { return strconv.Itoa(int(*l)) }
func (l *sessionLimit) Type() string   { return "number" }

// Set sets the limit if a list may have it.
func (l *sessionLimit) Set(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > proxy.MaxSessions {
		return fmt.Errorf("must be a number from 1 to %d, not %q", proxy.MaxSessions, value)
	}
	*l = sessionLimit(n)
	return nil
}
