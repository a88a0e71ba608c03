package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/sanitize"
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
			unread, directory := cfg.FromDirectory()
			files := ""
			if directory {
				files = countFiles(len(cfg.Files())) + ", "
			}
			fmt.Fprintf(out, "%s is valid: %s%s, engine %s, %d workers\n", s.file, files, size, size.Engine, size.Workers)
			for i, app := range cfg.Apps {
				file := ""
				if directory {
					file = " in " + sanitize.Text(filepath.Base(cfg.FileOf(i)), maxName)
				}
				summarize(out, app, file)
			}
			noteUnread(out, unread)
			noteEphemeral(out, cfg)
			return nil
		},
	}
	s.addTo(cmd)
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print only errors")
	return cmd
}

const (
	mostShown = 8   // names in a list, before the number of the others
	maxName   = 255 // of a file, in bytes: NAME_MAX
)

func countFiles(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// noteUnread prints the names of what is in the configuration directory, but is not read.
func noteUnread(out io.Writer, unread []string) {
	if len(unread) == 0 {
		return
	}
	names := make([]string, 0, mostShown)
	for _, name := range unread[:min(mostShown, len(unread))] {
		names = append(names, sanitize.Text(name, maxName))
	}
	fmt.Fprintf(out, "note: not read, because the name does not end in .json: %s\n", list(names, len(unread)))
}

// summarize prints three lines about an app: its name with the end of that line, its ports, and its targets.
func summarize(out io.Writer, app config.App, end string) {
	ports := make([]string, 0, mostShown)
	for _, p := range app.Ports[:min(mostShown, len(app.Ports))] {
		ports = append(ports, p.String())
	}
	targets := make([]string, 0, mostShown)
	for _, t := range app.Targets[:min(mostShown, len(app.Targets))] {
		targets = append(targets, t.Address.String())
	}
	fmt.Fprintf(out, "%s (%s)%s\n  ports    %s\n  targets  %s\n", app.Name, app.Balance, end,
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
