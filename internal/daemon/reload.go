package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/watch"
)

// order is a reload that somebody waits for.
type order struct {
	done chan outcome // has room for one
}

type outcome struct {
	changes proxy.Changes
	err     error
}

// Reload reads the configuration again and puts it in force, and tells what that has changed. It may be called from any
// goroutine, and waits while another reload is on. With an error all goes on as before: it is config.Errors if there
// are mistakes in the file.
func (d *Daemon) Reload(ctx context.Context) (proxy.Changes, error) {
	o := order{make(chan outcome, 1)}
	select {
	case d.orders <- o:
		result := <-o.done
		return result.changes, result.err
	case <-d.ended:
		return proxy.Changes{}, errors.New("the proxy is stopping")
	case <-ctx.Done():
		return proxy.Changes{}, ctx.Err()
	}
}

// reload reads the configuration again and puts it in force. What comes of it is logged, and told the service manager.
func (d *Daemon) reload() (proxy.Changes, error) {
	d.told(d.manager.Reloading())
	defer d.tellReady()
	begun := time.Now()
	cfg, err := d.source.Read()
	if err != nil {
		return proxy.Changes{}, d.refuse(err)
	}
	return d.enforce(cfg, begun)
}

// reloadChanged does the same when the file may have changed, but says nothing if it means the same.
func (d *Daemon) reloadChanged() {
	begun := time.Now()
	cfg, err := d.source.Read()
	if err == nil && proxy.ChangesOf(d.cfg, cfg).Nothing() && d.refused == nil {
		return
	}
	d.told(d.manager.Reloading())
	defer d.tellReady()
	if err != nil {
		d.refuse(err)
		return
	}
	d.enforce(cfg, begun)
}

// enforce puts a configuration in force.
func (d *Daemon) enforce(cfg *config.Config, begun time.Time) (proxy.Changes, error) {
	changes, err := d.apply(cfg)
	if err != nil {
		return proxy.Changes{}, d.refuse(err)
	}
	d.cfg, d.refused = cfg, nil
	d.watchFile()
	size := proxy.SizeOf(cfg)
	d.log.WithFields(logrus.Fields{
		"workers": size.Workers,
		"changes": changes.String(),
		"took":    time.Since(begun).Round(time.Microsecond).String(),
	}).Infof("reloaded: %s", size)
	return changes, nil
}

// apply puts a configuration in force. With an error nothing has changed.
func (d *Daemon) apply(cfg *config.Config) (proxy.Changes, error) {
	if was := d.cfg.Log.Format; cfg.Log.Format != was {
		return proxy.Changes{}, cfg.Errorf("log.format", "%q cannot take over from %q while the proxy runs: it takes a restart", cfg.Log.Format, was)
	}
	level, err := logrus.ParseLevel(cfg.Log.Level)
	if err != nil {
		return proxy.Changes{}, fmt.Errorf("log level: %w", err)
	}
	plan, err := d.prepareAdmin(cfg)
	if err != nil {
		return proxy.Changes{}, err
	}
	changes, err := d.server.Apply(cfg)
	if err != nil {
		plan.Abandon()
		return proxy.Changes{}, err
	}
	plan.Commit()
	d.log.SetLevel(level)
	return changes, nil
}

// refuse notes and logs why the last reload came to nothing, and returns that.
func (d *Daemon) refuse(err error) error {
	d.refused = err
	d.server.ReloadRefused(err)
	for _, problem := range problems(err) {
		d.log.WithField(logging.EventKey, logging.ReloadRefused).
			Errorf("reload refused, the configuration of before stays in force: %v", problem)
	}
	return err
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
			d.log.WithError(err).Error("a change of the configuration file will not be noticed: reload by hand")
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
		d.log.WithError(err).Warn("the watch on the configuration file was not closed in good order")
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
