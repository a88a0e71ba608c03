package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
)

func newCheck() *cobra.Command {
	var s settings
	var quiet bool
	cmd := &cobra.Command{
		Use:               "check",
		Short:             "Check the configuration: print all errors, or a summary of what would run",
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.loadFirst()
			if err != nil {
				return err
			}
			if err := proxy.CheckTargets(cfg, nil); err != nil {
				return failure{exitConfig, err}
			}
			if quiet {
				return nil
			}
			size := proxy.SizeOf(cfg)
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s is valid: %s, engine %s, %d workers\n", s.file, size, size.Engine, size.Workers)
			for _, app := range cfg.Apps {
				summarize(out, app)
			}
			noteEphemeral(out, cfg)
			return nil
		},
	}
	s.addTo(cmd)
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print only errors")
	return cmd
}

// summarize prints three lines about an app: its name, its ports, and its targets.
func summarize(out io.Writer, app config.App) {
	const shown = 8
	ports := make([]string, 0, shown)
	for _, p := range app.Ports[:min(shown, len(app.Ports))] {
		ports = append(ports, p.String())
	}
	targets := make([]string, 0, shown)
	for _, t := range app.Targets[:min(shown, len(app.Targets))] {
		targets = append(targets, t.Address.String())
	}
	fmt.Fprintf(out, "%s (%s)\n  ports    %s\n  targets  %s\n", app.Name, app.Balance,
		list(ports, len(app.Ports)), list(targets, len(app.Targets)))
}

// list joins names, and adds how many there are beside them. all is the number of all.
func list(names []string, all int) string {
	text := strings.Join(names, ", ")
	if more := all - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
