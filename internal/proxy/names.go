package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// How the names of targets are looked up at the start: how many at a time, and for how long each.
const (
	lookups       = 16
	lookupTimeout = 5 * time.Second
)

// checkNames looks up the name of every target, once, and marks dead those that give no address, so that the log says
// so before the first client finds out. It returns when all are done or the context is.
func (s *Server) checkNames(ctx context.Context, apps []*app) {
	var all sync.WaitGroup
	defer all.Wait()
	places := make(chan struct{}, lookups)
	for _, a := range apps {
		for _, t := range a.targets.All() {
			host := t.Address.Host
			if _, err := netip.ParseAddr(host); t.Down || t.Address.Network != "tcp" || err == nil {
				continue
			}
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return
			}
			all.Go(func() {
				defer func() { <-places }()
				if err := lookUp(ctx, host); err != nil && ctx.Err() == nil && t.Failed(false, err) {
					s.targetDead(a.Name, t, err)
				}
			})
		}
	}
}

func lookUp(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return fmt.Errorf("its name gives no address: %w", err)
	}
	return nil
}
