package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "development"

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print the version",
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
		},
	}
}

// addVersionTo gives a command the flag --version. Cobra's own has another text, and with a template for it the linker keeps
// every exported method in the program, as a template may call any: that is 4 MB.
func addVersionTo(cmd *cobra.Command) {
	asked := cmd.Flags().Bool("version", false, "print the version")
	runs := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *asked {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
			return nil
		}
		return runs(cmd, args)
	}
}

// versionText returns the line that "version" and "--version" print.
func versionText() string {
	return fmt.Sprintf("tcp-proxy %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
