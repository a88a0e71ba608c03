package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
)

func newLogLevel() *cobra.Command {
	var r remote
	var d levelTime
	var reset bool
	cmd := &cobra.Command{
		Use:   "log-level [LEVEL]",
		Short: "Set the log level of the running proxy for a while; without LEVEL, print it",
		Long: "Sets the log level of the running proxy, in place of the one in the configuration or of --log-level, and prints the level in\n" +
			"force. With --for, the proxy returns to the configured level by itself; debug and trace always end, after 10 minutes if\n" +
			"--for does not say otherwise. Reloads do not change a level that was set so; --reset and a restart do.",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return errors.New("log-level takes one LEVEL")
			case len(args) == 0 && d != 0:
				return errors.New("--for needs a LEVEL")
			case len(args) == 1 && reset:
				return errors.New("--reset takes no LEVEL")
			case len(args) == 0:
				return nil
			}
			_, _, err := proxy.CheckLogLevel(args[0], time.Duration(d))
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			var level proxy.LogLevel
			switch {
			case reset:
				level, err = c.ResetLogLevel(cmd.Context())
			case len(args) == 1:
				level, err = c.SetLogLevel(cmd.Context(), args[0], time.Duration(d))
			default:
				level, err = c.LogLevel(cmd.Context())
			}
			if err != nil {
				return asked(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), levelText(level))
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return config.Words("log.level"), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		},
	}
	r.addTo(cmd)
	cmd.Flags().Var(&d, "for", "for how long, such as 10m; up to 24h")
	cmd.Flags().BoolVar(&reset, "reset", false, "return to the configured level")
	if err := cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{"10m", "1h", "24h"}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder)); err != nil {
		panic(err) // the flag was added above
	}
	return cmd
}

// levelText says which level is in force, and until when.
func levelText(level proxy.LogLevel) string {
	switch {
	case level.Configured == "":
		return level.Level + ", as configured"
	case level.Until.IsZero():
		return fmt.Sprintf("%s, until it is changed or the proxy restarts; the configured level is %s", level.Level, level.Configured)
	}
	left := max(0, time.Until(level.Until)).Round(time.Second)
	return fmt.Sprintf("%s until %s, for %v; the configured level is %s", level.Level, level.Until.Local().Format(time.DateTime), left, level.Configured)
}

// levelTime is the value of --for.
type levelTime time.Duration

func (l *levelTime) String() string {
	if *l == 0 {
		return ""
	}
	return time.Duration(*l).String()
}

func (l *levelTime) Type() string { return "duration" }

// Set sets the time if a level may be set for so long.
func (l *levelTime) Set(value string) error {
	d, err := admin.ParseLogLevelTime(value)
	if err == nil {
		*l = levelTime(d)
	}
	return err
}
