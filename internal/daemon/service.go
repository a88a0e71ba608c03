package daemon

import (
	"context"
	"fmt"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
)

// The intervals of notifications (sd_notify(3)).
const (
	statusEvery  = time.Second      // STATUS=, if it has changed
	extendEvery  = 5 * time.Second  // EXTEND_TIMEOUT_USEC=, while open sessions may finish
	extendBy     = 30 * time.Second // its value
	aliveTimeout = 5 * time.Second  // of a liveness check of the server
)

// notified takes the result of a notification, and reports whether it was sent. It logs the first of consecutive failures.
func (d *Daemon) notified(err error) bool {
	if d.notifyFails.Swap(err != nil) || err == nil {
		return err == nil
	}
	d.log.Warn("notifying systemd failed", logging.Fields{logging.ErrorKey: err})
	return false
}

// statusText is the line that systemctl status shows.
func (d *Daemon) statusText() string {
	text := d.server.Status().String()
	if d.server.Stage() == proxy.Draining {
		text = "draining, reports not ready; " + text
	}
	if d.refused != nil {
		text += "; reload refused: " + config.Brief(d.refused)
	}
	return text
}

// notifyStatus sends the status if it has changed, or READY=1 if that could not be sent before.
func (d *Daemon) notifyStatus() {
	if d.readyPending {
		d.notifyReady()
		return
	}
	if text := d.statusText(); text != d.status {
		d.status = text
		d.notified(d.manager.Status(text))
	}
}

// notifyReloading sends that a reload begins. notifyReady must follow.
func (d *Daemon) notifyReloading() { d.notified(d.manager.Reloading()) }

// notifyReady sends that the service has started, or that a reload has ended. If that fails, notifyStatus sends it again: the
// manager waits for it.
func (d *Daemon) notifyReady() {
	d.status = d.statusText()
	d.readyPending = !d.notified(d.manager.Ready(d.status))
}

// feedWatchdog sends WATCHDOG=1 while the server is alive, until the context is done.
func (d *Daemon) feedWatchdog(ctx context.Context) {
	d.notified(d.manager.Watchdog(ctx, func() bool {
		limited, cancel := context.WithTimeout(ctx, aliveTimeout)
		defer cancel()
		err := d.server.Alive(limited)
		if err != nil && ctx.Err() == nil {
			d.log.Error("liveness check failed; WATCHDOG=1 withheld", logging.Fields{logging.ErrorKey: err})
		}
		return err == nil
	}))
}

// extend extends the stop time-out of the service manager, and sends the number of open sessions, until the context is done.
func (d *Daemon) extend(draining context.Context) {
	tick := time.NewTicker(extendEvery)
	defer tick.Stop()
	for {
		d.notified(d.manager.ExtendTimeout(extendBy))
		d.notified(d.manager.Status(fmt.Sprintf("stopping; open sessions: %d", d.server.Status().Sessions)))
		select {
		case <-tick.C:
		case <-draining.Done():
			return
		}
	}
}
