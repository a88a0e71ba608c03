package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tcp-proxy/internal/admin/view"
)

func newConfig() *cobra.Command {
	var r remote
	var raw bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the active configuration of the running proxy",
		Long: "Prints the active configuration of the running proxy: its file as it was read, which may differ from the file on the disk by\n" +
			"now; then a note on standard error says so. What a probe sends, and the query of its path, is shown as [redacted].",
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			active, err := c.Config(cmd.Context())
			out := cmd.OutOrStdout()
			switch {
			case raw && active.Body != nil:
				_, err = out.Write(active.Body)
			case err == nil:
				_, err = io.WriteString(out, view.Config(&active.Config, widthOf(out) > 0))
			}
			if err != nil {
				return failure{exitFailure, err}
			}
			if note := view.OnDisk(&active.Config); note != "" && !raw {
				fmt.Fprintln(cmd.ErrOrStderr(), "tcp-proxy:", note)
			}
			return nil
		},
	}
	r.addTo(cmd)
	cmd.Flags().BoolVar(&raw, "json", false, "print the response of the API")
	return cmd
}
