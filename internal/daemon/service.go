package daemon

import (
	"context"
	"fmt"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
)

// What the service manager is told, and how often.
const (
	statusEvery  = time.Second      // how the service is doing, if that has changed
	extendEvery  = 5 * time.Second  // while sessions may finish: that stopping is not over
	extendBy     = 30 * time.Second // and takes no longer than this from then on
	proofTimeout = 5 * time.Second  // how long the server may take to prove that it makes progress
)

// told takes what came of telling the service manager something, and reports whether it was told. A manager that cannot
// be told is logged once, until it can be again.
func (d *Daemon) told(err error) bool {
	if d.deaf.Swap(err != nil) || err == nil {
		return err == nil
	}
	d.log.Warn("notifying systemd failed", logging.Fields{logging.ErrorKey: err})
	return false
}

// statusText is the line that systemctl status shows.
func (d *Daemon) statusText() string {
	text := d.server.Status().String()
	if d.refused != nil {
		text += "; reload refused: " + config.Brief(d.refused)
	}
	return text
}

// tellStatus tells the service manager how the service is doing, unless it knows; and that it is ready, if that could not
// be told when it became so.
func (d *Daemon) tellStatus() {
	if d.unready {
		d.tellReady()
		return
	}
	if text := d.statusText(); text != d.status {
		d.status = text
		d.told(d.manager.Status(text))
	}
}

// tellReloading tells the service manager that a reload begins: tellReady has to follow.
func (d *Daemon) tellReloading() { d.told(d.manager.Reloading()) }

// tellReady tells the service manager that the service has started, or has finished reloading. A manager that cannot be
// told now is told later: it waits for that.
func (d *Daemon) tellReady() {
	d.status = d.statusText()
	d.unready = !d.told(d.manager.Ready(d.status))
}

// feedWatchdog gives the watchdog its signs of life until the context is done.
func (d *Daemon) feedWatchdog(ctx context.Context) {
	d.told(d.manager.Watchdog(ctx, func() bool {
		limited, cancel := context.WithTimeout(ctx, proofTimeout)
		defer cancel()
		err := d.server.Alive(limited)
		if err != nil && ctx.Err() == nil {
			d.log.Error("liveness check failed; WATCHDOG=1 withheld", logging.Fields{logging.ErrorKey: err})
		}
		return err == nil
	}))
}

// extend asks the service manager for time, and says what for, until the context is done.
func (d *Daemon) extend(draining context.Context) {
	tick := time.NewTicker(extendEvery)
	defer tick.Stop()
	for {
		d.told(d.manager.ExtendTimeout(extendBy))
		d.told(d.manager.Status(fmt.Sprintf("stopping; open sessions: %d", d.server.Status().Sessions)))
		select {
		case <-tick.C:
		case <-draining.Done():
			return
		}
	}
}
