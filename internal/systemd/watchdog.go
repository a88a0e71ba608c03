package systemd

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Watchdog gives the manager a sign of life twice in each interval of its watchdog, as long as alive reports progress,
// until the context is done. When alive reports none, or does not return, nothing is sent, and in the end the manager
// kills the process. Without a watchdog it returns at once.
//
// The error is the first of a sign that could not be sent; those after it are tried all the same.
func (n *Notifier) Watchdog(ctx context.Context, alive func() bool) error {
	if n.watchdog == 0 || n.socket == "" {
		return nil
	}
	tick := time.NewTicker(n.watchdog / 2)
	defer tick.Stop()
	var first error
	for {
		if alive() {
			if err := n.send(daemon.SdNotifyWatchdog); err != nil && first == nil {
				first = err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return first
		}
	}
}
