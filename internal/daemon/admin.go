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
)

// answerTimeout is the time that the admin API has for unfinished requests after the proxy has stopped.
const answerTimeout = 2 * time.Second

// node implements admin.Node by the daemon's server, except for reloads, which Run does.
type node struct {
	*proxy.Server
	daemon *Daemon
}

// Reload implements admin.Node.
func (n *node) Reload(ctx context.Context) (proxy.Changes, error) { return n.daemon.Reload(ctx) }

// Running implements admin.Node.
func (n *node) Running() proxy.Running { return *n.daemon.running.Load() }

// nowRunning notes that a configuration is the active one.
func (d *Daemon) nowRunning(cfg *config.Config) {
	d.running.Store(&proxy.Running{Config: cfg, File: d.source.File, Since: time.Now()})
}

// prepareAdmin listens on the addresses of the admin API that are new in a configuration. Its errors have the positions in
// the file of the addresses that failed.
func (d *Daemon) prepareAdmin(cfg *config.Config) (*admin.Plan, error) {
	plan, err := d.admin.Prepare(cfg.Admin.Listen)
	if err == nil {
		return plan, nil
	}
	var errs []error
	for _, problem := range problems(err) {
		var one *admin.ListenError
		if errors.As(problem, &one) {
			problem = cfg.Errorf(fmt.Sprintf("admin.listen[%d]", one.Index), "%w", one)
		}
		errs = append(errs, problem)
	}
	return nil, errors.Join(errs...)
}

// prepareReloadSocket listens on the reload socket. A proxy that cannot do so runs all the same.
func (d *Daemon) prepareReloadSocket() {
	if d.source.ReloadSocket == "" {
		return
	}
	plan, err := d.reloads.Prepare([]config.AdminAddress{{Network: "unix", Path: d.source.ReloadSocket}})
	if err != nil {
		d.log.Warn("listening on the reload socket failed; systemctl reload fails until the next start",
			logging.Fields{logging.ErrorKey: err})
		return
	}
	d.reloadPlan = plan
}

// closeAdmin ends the admin API and the reload socket. They are closed last, so that the API can report the stop while that goes on. closeAdmin does
// not wait for unfinished requests once hurry is done.
func (d *Daemon) closeAdmin(hurry context.Context) {
	ctx, cancel := context.WithTimeout(hurry, answerTimeout)
	defer cancel()
	d.reloads.Close(ctx)
	d.admin.Close(ctx)
}
