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

// lastAnswers is how long a request to the admin API may take that is on when the daemon has stopped.
const lastAnswers = 2 * time.Second

// node is the daemon as the admin API sees it: its server, but for reloads, which Run does.
type node struct {
	*proxy.Server
	daemon *Daemon
}

// Reload implements admin.Node.
func (n *node) Reload(ctx context.Context) (proxy.Changes, error) { return n.daemon.Reload(ctx) }

// prepareAdmin listens on the addresses of the admin API that are new in a configuration. Those that cannot be listened
// on are errors with their places.
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

// closeAdmin ends the admin API. It is the last to go, so that it tells of the stop as long as that takes. Who is told to
// hurry does not wait for answers that are under way.
func (d *Daemon) closeAdmin(hurry context.Context) {
	ctx, cancel := context.WithTimeout(hurry, lastAnswers)
	defer cancel()
	d.admin.Close(ctx)
}
