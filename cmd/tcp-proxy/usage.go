package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Errors of the command line. Each says what is wrong and what to write instead; run adds the command whose help has more.

// noArguments refuses arguments. An argument that may be a configuration gets the flag that takes it.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasParent() {
		return unknownCommand(cmd, args[0])
	}
	return fmt.Errorf("%s takes no arguments, but got %q%s", cmd.Name(), args[0], fileHint(cmd, args[0]))
}

// unknownCommand returns the error for a command that root does not have, with the commands that may be meant.
func unknownCommand(root *cobra.Command, name string) error {
	hint := fileHint(root, name)
	if hint == "" {
		hint = didYouMean(root, name, "")
	}
	return fmt.Errorf("unknown command %q%s", name, hint)
}

// fileHint returns the end of an error about an argument that is a file, or is named like one; "" for others, and if cmd does
// not read a configuration.
func fileHint(cmd *cobra.Command, argument string) string {
	_, err := os.Stat(argument)
	if cmd.Flags().Lookup(configFile) == nil || err != nil && !strings.HasSuffix(argument, ".json") {
		return ""
	}
	return fmt.Sprintf(": name a configuration with --%s %s", configFile, argument)
}

// didYouMean returns the end of an error with the commands of parent whose names are near to name, each after prefix; "" if
// there is none.
func didYouMean(parent *cobra.Command, name, prefix string) string {
	parent.SuggestionsMinimumDistance = 2
	near := parent.SuggestionsFor(name)
	if len(near) == 0 || name == "" { // every name begins with ""
		return ""
	}
	for i := range near {
		near[i] = fmt.Sprintf("%q", prefix+near[i])
	}
	return ": did you mean " + strings.Join(near, " or ") + "?"
}

// explainFlag rewrites an error of pflag.
func explainFlag(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "bool":
		return fmt.Errorf("--%s must be true or false, not %q", invalid.GetFlag().Name, invalid.GetValue())
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s %w", invalid.GetFlag().Name, invalid.Unwrap())
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		flags := &cobra.Command{} // cobra has suggestions for commands only
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		})
		return fmt.Errorf("%w%s", err, didYouMean(flags, unknown.GetSpecifiedName(), "--"))
	}
	return err
}
