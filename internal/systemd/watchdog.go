package systemd

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Watchdog sends WATCHDOG=1 twice in each interval of the watchdog, if alive returns true, until the context is done. If alive
// returns false for too long, or does not return, the manager kills the process. Without a watchdog it returns at once.
//
// The error is the first one of sending; it goes on sending after an error.
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
