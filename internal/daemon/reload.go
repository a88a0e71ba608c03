package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/watch"
)

// The time-outs of a reload.
const (
	reloadTimeout  = time.Minute            // for reading the configuration and preparing it
	abandonTimeout = 250 * time.Millisecond // for its end when the daemon stops; after that the daemon does not wait for it
)

// The errors of reloads for other reasons than the configuration.
var (
	errStopping = errors.New("the proxy is stopping")
	errStuck    = errors.New("the previous reload has not finished: it is blocked in a system call")
	errTimedOut = errors.New("the configuration could not be read and prepared in time")
)

// command is a request of a reload by another goroutine, which waits for the outcome.
type command struct {
	done chan outcome // capacity 1
}

type outcome struct {
	changes proxy.Changes
	err     error
}

// Reload reads the configuration, makes it the active one, and returns what has changed. It may be called from any goroutine,
// and waits while another reload is in progress. With an error the active configuration is the same as before; for errors in
// the file it is config.Errors. When the context is done it returns, but the reload goes on.
func (d *Daemon) Reload(ctx context.Context) (proxy.Changes, error) {
	c := command{make(chan outcome, 1)}
	select {
	case d.commands <- c:
	case <-d.ended:
		return proxy.Changes{}, errStopping
	case <-ctx.Done():
		return proxy.Changes{}, ctx.Err()
	}
	select {
	case result := <-c.done:
		return result.changes, result.err
	case <-ctx.Done():
		return proxy.Changes{}, ctx.Err()
	}
}

// reload is a reload in progress. A goroutine does what may take long, so that Run handles signals, commands and the service
// manager meanwhile.
type reload struct {
	begun    time.Time
	command  *command // that requested it; nil: a signal or a change of the file
	changed  bool     // it is for a change of the file: if the content means the same, nothing is logged or notified
	cancel   context.CancelCauseFunc
	deadline *time.Timer
	ready    chan prepared // capacity 1
	timedOut bool          // it was reported as refused: what it prepares is abandoned
}

// prepared is a configuration that can be activated, or the error why not.
type prepared struct {
	cfg    *config.Config // nil if it could not be read
	server *proxy.Plan
	admin  *admin.Plan
	err    error
}

// beginReload starts a goroutine that reads the configuration and prepares it. c is the command that requested it, or nil;
// changed says that the file has changed. No reload is in progress, except one that has timed out.
func (d *Daemon) beginReload(c *command, changed bool) {
	if !changed {
		d.notifyReloading()
	}
	if d.current != nil {
		d.fileMissed = d.fileMissed || changed
		if !changed {
			d.endReload(c, proxy.Changes{}, d.refuse(errStuck, changed))
		}
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	d.current = &reload{
		begun:    time.Now(),
		command:  c,
		changed:  changed,
		cancel:   cancel,
		deadline: time.NewTimer(d.timeout),
		ready:    make(chan prepared, 1),
	}
	go d.prepare(ctx, d.cfg, d.current.ready)
}

// prepare is the goroutine of a reload. It reads only those fields of the daemon that do not change. It may outlive the daemon
// if a system call blocks.
func (d *Daemon) prepare(ctx context.Context, before *config.Config, ready chan<- prepared) {
	var p prepared
	if p.cfg, p.err = d.source.Read(); p.err == nil {
		p.err = context.Cause(ctx)
	}
	if p.err == nil {
		p.err = logStays(before, p.cfg)
	}
	if p.err == nil {
		p.admin, p.err = d.prepareAdmin(p.cfg)
	}
	if p.err == nil {
		if p.server, p.err = d.server.Prepare(ctx, p.cfg); p.err != nil {
			p.admin.Abandon()
			p.admin = nil
		}
	}
	if p.err == nil && ctx.Err() != nil { // there may be no receiver any more
		p.abandon()
		p.err = context.Cause(ctx)
	}
	ready <- p
}

// logStays reports an error if a configuration changes what cannot change in a running log.
func logStays(before, after *config.Config) error {
	if was := before.Log.Format; after.Log.Format != was {
		return after.Errorf("log.format", "changing it to %q from %q needs a restart", after.Log.Format, was)
	}
	return nil
}

// abandon gives back what was prepared, if there was no error.
func (p *prepared) abandon() {
	if p.err != nil {
		return
	}
	p.admin.Abandon()
	_ = p.server.Abandon() // an error of closing sockets that were never used does not matter
}

// finishReload activates what was prepared, or reports why not.
func (d *Daemon) finishReload(p prepared) {
	r := d.current
	d.current = nil
	r.deadline.Stop()
	defer r.cancel(nil)
	if r.timedOut {
		p.abandon()
		if d.fileMissed {
			d.fileMissed = false
			d.beginReload(nil, true)
		}
		return
	}
	if r.changed {
		if p.cfg != nil && d.refused == nil && proxy.ChangesOf(d.cfg, p.cfg).Nothing() {
			p.abandon()
			if p.err == nil {
				d.nowRunning(p.cfg) // its text differs, such as a comment
			}
			return
		}
		d.notifyReloading()
	}
	if p.err != nil {
		d.endReload(r.command, proxy.Changes{}, d.refuse(p.err, r.changed))
		return
	}
	changes, err := d.activate(p, r)
	d.endReload(r.command, changes, err)
}

// endReload notifies the service manager, and the caller of Reload if there is one, that a reload has ended.
func (d *Daemon) endReload(c *command, changes proxy.Changes, err error) {
	d.notifyReady()
	if c != nil {
		c.done <- outcome{changes, err}
	}
}

// timeOutReload refuses a reload that takes too long.
func (d *Daemon) timeOutReload() {
	r := d.current
	r.cancel(errTimedOut)
	r.timedOut = true
	if r.changed {
		d.notifyReloading()
	}
	d.endReload(r.command, proxy.Changes{}, d.refuse(errTimedOut, r.changed))
}

// abandonReload ends the reload in progress, if any, because the daemon stops, and gives back what it has prepared. If its
// goroutine does not end in time, the goroutine gives that back itself.
func (d *Daemon) abandonReload() {
	r := d.current
	if r == nil {
		return
	}
	d.current = nil
	r.deadline.Stop()
	r.cancel(errStopping)
	if !r.timedOut && !r.changed {
		d.endReload(r.command, proxy.Changes{}, errStopping)
	}
	timeout := time.NewTimer(abandonTimeout)
	defer timeout.Stop()
	select {
	case p := <-r.ready:
		p.abandon()
	case <-timeout.C:
		d.log.Warn("abandoning the reload in progress: it is blocked in a system call", nil)
	}
}

// activate makes a prepared configuration the active one.
func (d *Daemon) activate(p prepared, r *reload) (proxy.Changes, error) {
	changes, err := p.server.Commit()
	if err != nil {
		p.admin.Abandon()
		return proxy.Changes{}, d.refuse(err, r.changed)
	}
	p.admin.Commit()
	if err := d.log.SetLevel(p.cfg.Log.Level); err != nil {
		d.log.Error("changing the log level failed", logging.Fields{logging.ErrorKey: err}) // the configuration was checked
	}
	d.cfg, d.refused = p.cfg, nil
	d.nowRunning(p.cfg)
	d.watchFile()
	size := proxy.SizeOf(p.cfg)
	fields := withFiles(logging.Fields{
		"workers": size.Workers,
		"changes": changes.String(),
		"took":    time.Since(r.begun).Round(time.Microsecond).String(),
	}, p.cfg)
	if n := d.throttle.forget(); n > 0 {
		fields[logging.LeftOutKey] = n
	}
	d.log.Info("reloaded: "+size.String(), fields)
	return changes, nil
}

// withFiles adds the number of files to the fields, if the configuration was read from a directory.
func withFiles(fields logging.Fields, cfg *config.Config) logging.Fields {
	if _, ok := cfg.FromDirectory(); ok {
		fields["files"] = len(cfg.Files())
	}
	return fields
}

// refuse records and logs why the last reload was refused, and returns that error. If the file has changed but has the same
// errors as before, they are not logged again.
func (d *Daemon) refuse(err error, changed bool) error {
	again := changed && d.refused != nil && d.refused.Error() == err.Error()
	d.refused = err
	d.server.ReloadRefused(err)
	if errs := problems(err); !again && d.throttle.pass(errs, time.Now()) {
		d.logRefused(errs, 0)
	}
	return err
}

// logHeld logs the refused reload that the throttle holds, if there is one.
func (d *Daemon) logHeld() {
	if d.throttle.held != nil {
		d.logRefused(d.throttle.take(time.Now()))
	}
}

// logRefused logs the errors of a refused reload. leftOut is the number of refused ones before it that were not logged.
func (d *Daemon) logRefused(errs []error, leftOut uint64) {
	for i, err := range errs {
		fields := logging.Fields{logging.EventKey: logging.ReloadRefused}
		if i == 0 && leftOut > 0 {
			fields[logging.LeftOutKey] = leftOut
		}
		d.log.Error(fmt.Sprintf("reload refused, keeping the current configuration: %v", err), fields)
	}
}

// problems returns the errors that err joins.
func problems(err error) []error {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		return many.Unwrap()
	}
	return []error{err}
}

// watchFile begins or ends watching the configuration file or directory, as the active configuration says.
func (d *Daemon) watchFile() {
	wanted := d.cfg.Reload == config.ReloadAuto
	switch {
	case !wanted:
		d.unwatchFile()
	case d.watch == nil:
		f, err := watch.Open(d.source.File, watch.Content{Sum: config.Sum, Part: config.IsFile})
		if err != nil {
			d.log.Error("watching the configuration failed; its changes need a manual reload", logging.Fields{logging.ErrorKey: err})
			return
		}
		d.watch = f
	}
}

func (d *Daemon) unwatchFile() {
	if d.watch == nil {
		return
	}
	if err := d.watch.Close(); err != nil {
		d.log.Warn("closing the watch on the configuration failed", logging.Fields{logging.ErrorKey: err})
	}
	d.watch = nil
}

// fileChanged returns a channel that gets a value when the file changes; nil while the file is not watched.
func (d *Daemon) fileChanged() <-chan struct{} {
	if d.watch == nil {
		return nil
	}
	return d.watch.Changed
}
