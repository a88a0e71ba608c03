// Package daemon puts the parts together: a server of the configuration that starts, keeps its service manager told, and
// stops in good order. Signals and exit codes are the caller's.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/systemd"
)

// Daemon is a proxy that listens. Make it with New, then Run it.
type Daemon struct {
	log     *logrus.Logger
	reread  func() (*config.Config, error)
	server  *proxy.Server
	manager *systemd.Notifier
	deaf    atomic.Bool // the manager could not be told something

	// What follows is Run's alone.
	cfg     *config.Config // in force
	refused error          // what was wrong with the last reload; nil if it was not refused
	status  string         // as the service manager knows it
}

// Signals are what Run is told from outside.
type Signals struct {
	Stop   context.Context // done: stop
	Hurry  context.Context // done: and do not wait for open sessions
	Reload <-chan struct{} // read the configuration again
}

// New listens on every port of the configuration, using the sockets that systemd has handed over. reread reads it again
// for a reload. On an error nothing is left behind but what was handed over.
func New(cfg *config.Config, reread func() (*config.Config, error), log *logrus.Logger, manager *systemd.Notifier,
	sockets []systemd.Socket) (*Daemon, error) {
	inherited := make([]proxy.Inherited, len(sockets))
	for i, s := range sockets {
		inherited[i] = proxy.Inherited{Name: s.Name, Listener: s.Listener}
	}
	server, err := proxy.New(cfg, log, inherited)
	if err != nil {
		return nil, err
	}
	return &Daemon{
		log:     log,
		reread:  reread,
		server:  server,
		manager: manager,
		cfg:     cfg,
	}, nil
}

// Run serves until it is told to stop. Then it stops accepting, lets open sessions finish for the drain time-out or
// until it is told to hurry, ends the rest, and returns when everything is given back.
func (d *Daemon) Run(told Signals) error {
	if err := d.server.Start(); err != nil {
		cut, cancel := context.WithCancel(told.Hurry)
		cancel()
		return errors.Join(fmt.Errorf("start: %w", err), d.server.Stop(cut))
	}
	size := proxy.SizeOf(d.cfg)
	d.log.WithFields(logrus.Fields{"workers": size.Workers, "engine": size.Engine}).Infof("ready: %s", size)
	d.tellReady()

	watched, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup // for watch
	watching.Go(func() { d.watch(watched) })
	defer watching.Wait()
	defer cancel()

	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for serving := true; serving; {
		select {
		case <-tick.C:
			d.tellStatus()
		case <-told.Reload:
			d.told(d.manager.Reloading())
			d.reload()
			d.tellReady()
		case <-told.Stop.Done():
			serving = false
		}
	}
	return d.stop(told.Hurry)
}

func (d *Daemon) stop(hurry context.Context) error {
	d.log.WithField("drain_timeout", d.cfg.DrainTimeout.String()).Info("stopping: no new sessions")
	d.told(d.manager.Stopping("stopping"))
	draining, cancel := context.WithTimeout(hurry, d.cfg.DrainTimeout)
	var extending sync.WaitGroup // for extend
	extending.Go(func() { d.extend(draining) })
	defer extending.Wait()
	defer cancel()
	if err := d.server.Stop(draining); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	d.log.Info("stopped: every session is over")
	return nil
}

// reload reads the configuration again and puts it in force. If anything is wrong with it, that is logged, and all goes
// on as before.
func (d *Daemon) reload() {
	begun := time.Now()
	cfg, err := d.change()
	d.refused = err
	if err != nil {
		for _, problem := range problems(err) {
			d.log.WithField(logging.EventKey, logging.ReloadRefused).
				Errorf("reload refused, the configuration of before stays in force: %v", problem)
		}
		return
	}
	d.cfg = cfg
	size := proxy.SizeOf(cfg)
	d.log.WithFields(logrus.Fields{"workers": size.Workers, "took": time.Since(begun).Round(time.Microsecond).String()}).
		Infof("reloaded: %s", size)
}

// change puts the configuration in force as it is now. With an error nothing has changed.
func (d *Daemon) change() (*config.Config, error) {
	cfg, err := d.reread()
	if err != nil {
		return nil, err
	}
	if was := d.cfg.Log.Format; cfg.Log.Format != was {
		return nil, cfg.Errorf("log.format", "%q cannot take over from %q while the proxy runs: it takes a restart", cfg.Log.Format, was)
	}
	level, err := logrus.ParseLevel(cfg.Log.Level)
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	if err := d.server.Apply(cfg); err != nil {
		return nil, err
	}
	d.log.SetLevel(level)
	return cfg, nil
}

// problems gives the errors that err consists of.
func problems(err error) []error {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		return many.Unwrap()
	}
	return []error{err}
}
