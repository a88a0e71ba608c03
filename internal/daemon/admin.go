package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/config"
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

// closeAdmin ends the admin API. It is closed last, so that it can report the stop while that goes on. It does not wait for
// unfinished requests once hurry is done.
func (d *Daemon) closeAdmin(hurry context.Context) {
	ctx, cancel := context.WithTimeout(hurry, answerTimeout)
	defer cancel()
	d.admin.Close(ctx)
}
