// Command tcp-proxy is a layer-4 proxy: it listens on the ports of each app, and relays every connection to one of the app's
// targets.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/logging"
)

// Exit codes. exitConfig is EX_CONFIG of sysexits.h: a service manager need not restart the service.
const (
	exitFailure = 1
	exitUsage   = 2
	exitConfig  = 78
)

// failure is an error with the exit code of the process.
type failure struct {
	code int
	err  error
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

func main() {
	caught := catchSignals() // before anything else: a signal must not end a process that has just been started
	os.Exit(run(os.Args[1:], caught))
}

// run executes the command line and returns the exit code. An error that is not a failure is a usage error of cobra.
func run(args []string, caught chan os.Signal) int {
	root := newRoot(caught)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	signal.Ignore(unix.SIGPIPE) // the exit code must be right also if the reader of standard error is gone
	var f failure
	if errors.As(err, &f) {
		logging.Fail(err)
		return f.code
	}
	logging.Fail(fmt.Errorf("tcp-proxy: %w\n%s", err, "Try '"+cmd.CommandPath()+" --help'."))
	return exitUsage
}

func newRoot(caught chan os.Signal) *cobra.Command {
	root := newRun("tcp-proxy", caught)
	running := newRun("run", caught)
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		if cmd != root && cmd != running {
			leaveSignals(caught)
		}
	}
	root.Short = "A layer-4 proxy for Linux"
	root.Long = "tcp-proxy listens on the ports of each app, picks one of the app's targets for every connection,\n" +
		"and copies bytes both ways until both sides have finished. Without a command it runs the proxy."
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(explainFlag)
	addVersionTo(root)
	root.SetHelpCommand(newHelp())
	root.AddCommand(running, newCheck(), newSchema(), newStatus(), newConfig(), newReload(), newDrain(true), newDrain(false),
		newSessions(), newClose(), newLogLevel(),
		newVersion(), newCompletion())
	return root
}
