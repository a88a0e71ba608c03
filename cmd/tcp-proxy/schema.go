package main

import (
	"github.com/spf13/cobra"

	"tcp-proxy/internal/config"
)

func newSchema() *cobra.Command {
	var directory bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration",
		Long: "Prints the JSON Schema of the configuration, for editors. With --directory it is the one for each file of a\n" +
			"configuration directory, in which apps may be missing.",
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := config.Schema
			if directory {
				text = config.DirectorySchema
			}
			if _, err := cmd.OutOrStdout().Write(text()); err != nil {
				return failure{exitFailure, err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&directory, "directory", false, "print the one for a file of a configuration directory")
	return cmd
}
