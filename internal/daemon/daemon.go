// Package daemon puts the parts together: a server of the configuration that starts, says that it is ready, and stops
// in good order. Signals and exit codes are the caller's.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
)

// Daemon is a proxy that listens. Make it with New, then Run it.
type Daemon struct {
	log    *logrus.Logger
	server *proxy.Server
	size   proxy.Size
	drain  time.Duration
}

// New listens on every port of the configuration. On an error nothing is left behind.
func New(cfg *config.Config, log *logrus.Logger) (*Daemon, error) {
	server, err := proxy.New(cfg, log)
	if err != nil {
		return nil, err
	}
	return &Daemon{log: log, server: server, size: proxy.SizeOf(cfg), drain: cfg.DrainTimeout}, nil
}

// Run serves until stop is done. Then it stops accepting, lets open sessions finish for the drain time-out or until
// hurry is done, ends the rest, and returns when everything is given back.
func (d *Daemon) Run(stop, hurry context.Context) error {
	if err := d.server.Start(); err != nil {
		cut, cancel := context.WithCancel(hurry)
		cancel()
		return errors.Join(fmt.Errorf("start: %w", err), d.server.Stop(cut))
	}
	d.log.WithFields(logrus.Fields{"workers": d.size.Workers, "engine": d.size.Engine}).Infof("ready: %s", d.size)
	<-stop.Done()

	d.log.WithField("drain_timeout", d.drain.String()).Info("stopping: no new sessions")
	draining, cancel := context.WithTimeout(hurry, d.drain)
	defer cancel()
	if err := d.server.Stop(draining); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	d.log.Info("stopped: every session is over")
	return nil
}
