package main

import (
	"github.com/spf13/cobra"

	"tcp-proxy/internal/config"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:               "schema",
		Short:             "Print the JSON Schema of the configuration",
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := cmd.OutOrStdout().Write(config.Schema()); err != nil {
				return failure{exitFailure, err}
			}
			return nil
		},
	}
}
