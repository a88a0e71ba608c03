package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Print the help of a command",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("help takes the name of one command")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			about := cmd.Root()
			for _, c := range about.Commands() {
				if len(args) > 0 && c.Name() == args[0] {
					about = c
				}
			}
			if len(args) > 0 && about == cmd.Root() {
				return unknownCommand(about, args[0])
			}
			about.InitDefaultHelpFlag() // otherwise the help does not list --help
			return about.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
