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

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/systemd"
	"tcp-proxy/internal/watch"
)

// Daemon is a proxy that listens. Make it with New, then Run it.
type Daemon struct {
	log     *logging.Logger
	source  Source
	server  *proxy.Server
	admin   *admin.Server
	first   *admin.Plan // what New has prepared, until Run
	manager *systemd.Notifier
	deaf    atomic.Bool // the manager could not be told something

	orders chan order    // reloads that other goroutines want
	ended  chan struct{} // closed when Run takes no more of them

	// What follows is Run's alone.
	cfg     *config.Config // the active one
	refused error          // what was wrong with the last reload; nil if it was not refused
	untold  untold         // refused reloads that the log is not told of yet
	limit   time.Duration  // of a reload
	under   *reload        // that is under way; nil: none
	missed  bool           // the file has changed while a reload was stuck
	status  string         // as the service manager knows it
	unready bool           // it has not been told that the last start or reload is over
	watch   *watch.File    // nil while a change of the file does not bring a reload
}

// Source is where the configuration comes from.
type Source struct {
	Read func() (*config.Config, error) // reads it again
	File string                         // to watch for changes
}

// Signals are what Run is told from outside.
type Signals struct {
	Stop   context.Context // done: stop
	Hurry  context.Context // done: and do not wait for open sessions
	Reload <-chan struct{} // read the configuration again
}

// New listens on every port of the configuration, using the sockets that systemd has handed over, and on the addresses
// of the admin API. On an error nothing is left behind but what was handed over. It gives up when the context is done. The
// version is that of the program.
func New(ctx context.Context, cfg *config.Config, source Source, version string, log *logging.Logger, manager *systemd.Notifier,
	sockets []systemd.Socket) (*Daemon, error) {
	inherited := make([]listen.Inherited, len(sockets))
	for i, s := range sockets {
		inherited[i] = listen.Inherited{Name: s.Name, Listener: s.Listener}
	}
	d := &Daemon{
		log:     log,
		source:  source,
		manager: manager,
		orders:  make(chan order),
		ended:   make(chan struct{}),
		cfg:     cfg,
		limit:   reloadTimeout,
		untold:  untold{every: errorsEvery},
	}
	seen := &node{daemon: d}
	d.admin = admin.New(seen, version, log)
	var err error
	if d.first, err = d.prepareAdmin(cfg); err != nil {
		return nil, err
	}
	if d.server, err = proxy.New(ctx, cfg, log, inherited); err != nil {
		d.first.Abandon()
		return nil, err
	}
	seen.Server = d.server
	return d, nil
}

// Run serves until it is told to stop. Then it stops accepting, lets open sessions finish for the drain time-out or
// until it is told to hurry, ends the rest, and returns when everything is given back.
func (d *Daemon) Run(told Signals) error {
	d.first.Commit()
	defer d.closeAdmin(told.Hurry)
	if err := d.server.Start(); err != nil {
		cut, cancel := context.WithCancel(told.Hurry)
		cancel()
		return errors.Join(fmt.Errorf("start: %w", err), d.server.Stop(cut))
	}
	size := proxy.SizeOf(d.cfg)
	d.log.Info("ready: "+size.String(), logging.Fields{"workers": size.Workers, "engine": size.Engine})
	d.tellReady()

	fed, cancel := context.WithCancel(context.Background())
	var feeding sync.WaitGroup // for feedWatchdog
	feeding.Go(func() { d.feedWatchdog(fed) })
	defer feeding.Wait()
	defer cancel()
	d.watchFile()
	defer d.unwatchFile()

	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for told.Stop.Err() == nil {
		d.await(told, tick.C)
	}
	close(d.ended)
	d.leaveReload()
	d.tellUntold()
	return d.stop(told.Hurry)
}

// await does the next thing that there is to do. While a reload is under way no other one begins.
func (d *Daemon) await(told Signals, tick <-chan time.Time) {
	signalled, changed, orders := told.Reload, d.fileChanged(), (<-chan order)(d.orders)
	var ready <-chan prepared
	var late <-chan time.Time
	if r := d.under; r != nil {
		ready = r.ready
		if !r.givenUp {
			signalled, changed, orders, late = nil, nil, nil, r.late.C
		}
	}
	select {
	case <-tick:
		d.tellStatus()
	case <-signalled:
		d.beginReload(nil, false)
	case <-changed:
		d.beginReload(nil, true)
	case o := <-orders:
		d.beginReload(&o, false)
	case p := <-ready:
		d.finishReload(p)
	case <-late:
		d.giveUpReload()
	case <-d.untold.due():
		d.tellUntold()
	case <-told.Stop.Done():
	}
}

func (d *Daemon) stop(hurry context.Context) error {
	d.log.Info("stopping: no new sessions", logging.Fields{"drain_timeout": d.cfg.DrainTimeout.String()})
	d.server.Stopping()
	d.told(d.manager.Stopping("stopping"))
	draining, cancel := drainContext(hurry, d.cfg.DrainTimeout)
	var extending sync.WaitGroup // for extend
	extending.Go(func() { d.extend(draining) })
	defer extending.Wait()
	defer cancel()
	if err := d.server.Stop(draining); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	d.log.Info("stopped: all sessions have ended", nil)
	return nil
}

// drainContext is done when open sessions have had their time to finish: with context.DeadlineExceeded after the timeout,
// and with context.Canceled when the daemon is told to hurry, or at once if the timeout is 0.
func drainContext(hurry context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout > 0 {
		return context.WithTimeout(hurry, timeout)
	}
	draining, cancel := context.WithCancel(hurry)
	cancel()
	return draining, cancel
}
