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

// How long a reload may take.
const (
	reloadTimeout  = time.Minute            // to read the configuration and to prepare what it asks for
	abandonTimeout = 250 * time.Millisecond // to come to an end when the daemon stops; then it is left alone
)

// Why a reload came to nothing, other than for what is in the configuration.
var (
	errStopping = errors.New("the proxy is stopping")
	errStuck    = errors.New("the previous reload has not finished: it is blocked in a system call")
	errTooLong  = errors.New("the configuration could not be read and prepared in time")
)

// order is a reload that somebody waits for.
type order struct {
	done chan outcome // has room for one
}

type outcome struct {
	changes proxy.Changes
	err     error
}

// Reload reads the configuration again, makes it the active one, and returns what that has changed. It may be called from any
// goroutine, and waits while another reload is on. With an error all goes on as before: it is config.Errors if there
// are errors in the file. When the context is done it returns, whatever becomes of the reload.
func (d *Daemon) Reload(ctx context.Context) (proxy.Changes, error) {
	o := order{make(chan outcome, 1)}
	select {
	case d.orders <- o:
	case <-d.ended:
		return proxy.Changes{}, errStopping
	case <-ctx.Done():
		return proxy.Changes{}, ctx.Err()
	}
	select {
	case result := <-o.done:
		return result.changes, result.err
	case <-ctx.Done():
		return proxy.Changes{}, ctx.Err()
	}
}

// reload is one that is under way. What may take long is done by a goroutine, so that Run serves signals, orders and the
// service manager meanwhile.
type reload struct {
	begun   time.Time
	order   *order // who waits for it; nil: nobody
	changed bool   // it is for a change of the file, and says nothing if that means nothing
	cancel  context.CancelCauseFunc
	late    *time.Timer
	ready   chan prepared // has room for one
	givenUp bool          // it took too long, and that was told: what comes of it is thrown away
}

// prepared is a configuration that can be activated, or why there is none.
type prepared struct {
	cfg    *config.Config // nil if it could not be read
	server *proxy.Plan
	admin  *admin.Plan
	err    error
}

// beginReload reads the configuration again, for somebody who waits or nobody, and prepares what it asks for. The caller
// is Run, and no reload is under way, but for one that was given up.
func (d *Daemon) beginReload(o *order, changed bool) {
	if !changed {
		d.tellReloading()
	}
	if d.under != nil {
		d.missed = d.missed || changed
		if !changed {
			d.endReload(o, proxy.Changes{}, d.refuse(errStuck, changed))
		}
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	d.under = &reload{
		begun:   time.Now(),
		order:   o,
		changed: changed,
		cancel:  cancel,
		late:    time.NewTimer(d.limit),
		ready:   make(chan prepared, 1),
	}
	go d.prepare(ctx, d.cfg, d.under.ready)
}

// prepare is the goroutine of a reload. It reads nothing of the daemon that changes, and ends when it is through, whoever
// waits for it.
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
	if p.err == nil && ctx.Err() != nil { // nobody may be left to take it
		p.abandon()
		p.err = context.Cause(ctx)
	}
	ready <- p
}

// logStays reports an error if a configuration asks for what a running log cannot become.
func logStays(before, after *config.Config) error {
	if was := before.Log.Format; after.Log.Format != was {
		return after.Errorf("log.format", "changing it to %q from %q needs a restart", after.Log.Format, was)
	}
	return nil
}

// abandon gives back what was prepared.
func (p *prepared) abandon() {
	if p.err != nil {
		return
	}
	p.admin.Abandon()
	_ = p.server.Abandon() // its ports were never accepted on
}

// finishReload activates what was prepared.
func (d *Daemon) finishReload(p prepared) {
	r := d.under
	d.under = nil
	r.late.Stop()
	defer r.cancel(nil)
	if r.givenUp {
		p.abandon()
		if d.missed {
			d.missed = false
			d.beginReload(nil, true)
		}
		return
	}
	if r.changed {
		if p.cfg != nil && d.refused == nil && proxy.ChangesOf(d.cfg, p.cfg).Nothing() {
			p.abandon()
			return
		}
		d.tellReloading()
	}
	if p.err != nil {
		d.endReload(r.order, proxy.Changes{}, d.refuse(p.err, r.changed))
		return
	}
	changes, err := d.activate(p, r)
	d.endReload(r.order, changes, err)
}

// endReload tells those who wait for a reload what has become of it.
func (d *Daemon) endReload(o *order, changes proxy.Changes, err error) {
	d.tellReady()
	if o != nil {
		o.done <- outcome{changes, err}
	}
}

// giveUpReload ends the wait for a reload that takes too long.
func (d *Daemon) giveUpReload() {
	r := d.under
	r.cancel(errTooLong)
	r.givenUp = true
	if r.changed {
		d.tellReloading()
	}
	d.endReload(r.order, proxy.Changes{}, d.refuse(errTooLong, r.changed))
}

// leaveReload ends the wait for a reload because the daemon stops. What it has prepared by then is given back; if it is
// not through with that in time, it is left alone, and gives it back itself.
func (d *Daemon) leaveReload() {
	r := d.under
	if r == nil {
		return
	}
	d.under = nil
	r.late.Stop()
	r.cancel(errStopping)
	if !r.givenUp && !r.changed {
		d.endReload(r.order, proxy.Changes{}, errStopping)
	}
	patience := time.NewTimer(abandonTimeout)
	defer patience.Stop()
	select {
	case p := <-r.ready:
		p.abandon()
	case <-patience.C:
		d.log.Warn("abandoning the reload in progress: it is blocked in a system call", nil)
	}
}

// activate makes a configuration that was prepared the active one.
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
	d.watchFile()
	size := proxy.SizeOf(p.cfg)
	fields := logging.Fields{
		"workers": size.Workers,
		"changes": changes.String(),
		"took":    time.Since(r.begun).Round(time.Microsecond).String(),
	}
	if n := d.untold.forget(); n > 0 {
		fields[logging.LeftOutKey] = n
	}
	d.log.Info("reloaded: "+size.String(), fields)
	return changes, nil
}

// refuse records and logs why the last reload was refused, and returns that. A change of the file that gives the same errors
// as the reload before is not logged again.
func (d *Daemon) refuse(err error, changed bool) error {
	again := changed && d.refused != nil && d.refused.Error() == err.Error()
	d.refused = err
	d.server.ReloadRefused(err)
	if errs := problems(err); !again && d.untold.pass(errs, time.Now()) {
		d.tellRefused(errs, 0)
	}
	return err
}

// tellUntold logs the refused reload that is held, if there is one.
func (d *Daemon) tellUntold() {
	if d.untold.held != nil {
		d.tellRefused(d.untold.take(time.Now()))
	}
}

// tellRefused logs the errors of a refused reload, and how many refused ones before it were not logged.
func (d *Daemon) tellRefused(errs []error, leftOut uint64) {
	for i, err := range errs {
		fields := logging.Fields{logging.EventKey: logging.ReloadRefused}
		if i == 0 && leftOut > 0 {
			fields[logging.LeftOutKey] = leftOut
		}
		d.log.Error(fmt.Sprintf("reload refused, keeping the current configuration: %v", err), fields)
	}
}

// problems gives the errors that err consists of.
func problems(err error) []error {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		return many.Unwrap()
	}
	return []error{err}
}

// watchFile begins or ends watching the file of the configuration, as that says.
func (d *Daemon) watchFile() {
	wanted := d.cfg.Reload == config.ReloadAuto
	switch {
	case !wanted:
		d.unwatchFile()
	case d.watch == nil:
		f, err := watch.Open(d.source.File, config.MaxSize)
		if err != nil {
			d.log.Error("watching the configuration file failed; its changes need a manual reload", logging.Fields{logging.ErrorKey: err})
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
		d.log.Warn("closing the watch on the configuration file failed", logging.Fields{logging.ErrorKey: err})
	}
	d.watch = nil
}

// fileChanged is the channel that tells of a change; nil, which never does, while the file is not watched.
func (d *Daemon) fileChanged() <-chan struct{} {
	if d.watch == nil {
		return nil
	}
	return d.watch.Changed
}
