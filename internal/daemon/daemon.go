// Package daemon runs the proxy and its admin API: it starts them, notifies the service manager, reloads the configuration,
// and stops in order. The caller handles signals and exit codes.
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

// Daemon is the proxy and its admin API. New listens, Run serves.
type Daemon struct {
	log         *logging.Logger
	source      Source
	server      *proxy.Server
	admin       *admin.Server
	first       *admin.Plan   // of New, until Run commits it
	reloads     *admin.Server // at Source.ReloadSocket
	reloadPlan  *admin.Plan   // of New, until Run commits it; nil: there is no reload socket
	manager     *systemd.Notifier
	notifyFails atomic.Bool // the last notification failed
	running     atomic.Pointer[proxy.Running]

	commands chan command  // reloads that other goroutines request
	ended    chan struct{} // closed when Run takes no more commands

	// Only Run uses what follows.
	cfg          *config.Config // the active one
	refused      error          // why the last reload was refused; nil if it was not
	throttle     throttle       // of the log entries about refused reloads
	timeout      time.Duration  // of a reload
	current      *reload        // the one in progress; nil: none
	fileMissed   bool           // the file has changed while a reload was stuck
	status       string         // the last one that was sent to the service manager
	readyPending bool           // READY=1 has yet to be sent for the last start or reload
	watch        *watch.File    // nil if a change of the file does not start a reload
}

// Source is the source of the configuration, and of requests to read it again.
type Source struct {
	Read func() (*config.Config, error) // reads it
	File string                         // the file or directory to watch for changes
	// ReloadSocket is the path of a unix socket that takes reloads only, whatever the configuration says; empty: there is none.
	ReloadSocket string
}

// Signals request something of Run.
type Signals struct {
	Stop   context.Context // done: stop
	Hurry  context.Context // done: do not wait for open sessions then
	Reload <-chan struct{} // a value: reload the configuration
}

// New listens on every port of the configuration, for which it uses the sockets that systemd has passed, and on the
// addresses of the admin API. With an error it leaves open only the sockets that were passed. It returns early when the
// context is done. version is that of the program.
func New(ctx context.Context, cfg *config.Config, source Source, version string, log *logging.Logger, manager *systemd.Notifier,
	sockets []systemd.Socket) (*Daemon, error) {
	inherited := make([]listen.Inherited, len(sockets))
	for i, s := range sockets {
		inherited[i] = listen.Inherited{Name: s.Name, Listener: s.Listener}
	}
	d := &Daemon{
		log:      log,
		source:   source,
		manager:  manager,
		commands: make(chan command),
		ended:    make(chan struct{}),
		cfg:      cfg,
		timeout:  reloadTimeout,
		throttle: throttle{every: errorsEvery},
	}
	d.nowRunning(cfg)
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
	d.reloads = admin.NewReloadOnly(seen, version, log)
	d.prepareReloadSocket()
	return d, nil
}

// Run serves until signals.Stop is done. Then it stops accepting, lets open sessions finish until drain_timeout has passed or
// signals.Hurry is done, ends the others, and returns when all resources are given back.
func (d *Daemon) Run(signals Signals) error {
	d.first.Commit()
	if d.reloadPlan != nil {
		d.reloadPlan.Commit()
	}
	defer d.closeAdmin(signals.Hurry)
	if err := d.server.Start(); err != nil {
		atOnce, cancel := context.WithCancel(signals.Hurry)
		cancel()
		return errors.Join(fmt.Errorf("start: %w", err), d.server.Stop(atOnce))
	}
	d.watchFile() // whoever sees that it is ready may change the file
	defer d.unwatchFile()
	size := proxy.SizeOf(d.cfg)
	d.log.Info("ready: "+size.String(), withFiles(logging.Fields{"workers": size.Workers, "engine": size.Engine}, d.cfg))
	d.notifyReady()

	serving, cancel := context.WithCancel(context.Background())
	var feeding sync.WaitGroup // for feedWatchdog
	feeding.Go(func() { d.feedWatchdog(serving) })
	defer feeding.Wait()
	defer cancel()

	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for signals.Stop.Err() == nil {
		d.await(signals, tick.C)
	}
	close(d.ended)
	d.abandonReload()
	d.logHeld()
	return d.stop(signals.Hurry)
}

// await waits for the next event and handles it. While a reload is in progress no other one begins.
func (d *Daemon) await(signals Signals, tick <-chan time.Time) {
	signalled, changed, commands := signals.Reload, d.fileChanged(), (<-chan command)(d.commands)
	var ready <-chan prepared
	var deadline <-chan time.Time
	if r := d.current; r != nil {
		ready = r.ready
		if !r.timedOut {
			signalled, changed, commands, deadline = nil, nil, nil, r.deadline.C
		}
	}
	select {
	case <-tick:
		d.notifyStatus()
	case <-signalled:
		d.beginReload(nil, false)
	case <-changed:
		d.beginReload(nil, true)
	case c := <-commands:
		d.beginReload(&c, false)
	case p := <-ready:
		d.finishReload(p)
	case <-deadline:
		d.timeOutReload()
	case <-d.throttle.due():
		d.logHeld()
	case <-signals.Stop.Done():
	}
}

func (d *Daemon) stop(hurry context.Context) error {
	d.log.Info("stopping: no new sessions", logging.Fields{"drain_timeout": d.cfg.DrainTimeout.String()})
	d.server.Stopping()
	d.notified(d.manager.Stopping("stopping"))
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

// drainContext is done when open sessions are to be ended: with context.DeadlineExceeded after the timeout, and with
// context.Canceled when hurry is done, or at once if the timeout is 0.
func drainContext(hurry context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout > 0 {
		return context.WithTimeout(hurry, timeout)
	}
	draining, cancel := context.WithCancel(hurry)
	cancel()
	return draining, cancel
}
