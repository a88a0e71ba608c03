package main

import (
	"context"
	"fmt"
	"time"
)

const (
	firstSessions = 16                     // opened and closed before the base is taken
	settleTime    = 500 * time.Millisecond // for a proxy to close, free and fall asleep
)

// idle measures what sessions cost that do nothing. Each has exchanged one request before. The base is the proxy that
// has served a few sessions and has none, so that what it makes once is not charged to the sessions.
func (c *cell) idle(ctx context.Context, into *cellResult) error {
	first, err := c.startClient(ctx, firstSessions, 0)
	if err != nil {
		return err
	}
	first.stop()
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	base, err := holdingOf(c.proxy.processes)
	if err != nil {
		return err
	}
	client, err := c.startClient(ctx, c.row.sessions, 0)
	if err != nil {
		return err
	}
	defer client.stop()
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	result, used, err := c.interval(ctx, client, c.bench.options.measure)
	if err != nil {
		return err
	}
	if result.Live != c.row.sessions {
		return fmt.Errorf("%d of %d sessions are left", result.Live, c.row.sessions)
	}
	held, err := holdingOf(c.proxy.processes)
	if err != nil {
		return err
	}
	n := float64(c.row.sessions)
	into.Samples = append(into.Samples, sample{
		pssPerSession.key:         float64(held.pss-base.pss) / 1024 / n,
		pssTotal.key:              float64(held.pss) / (1 << 20),
		descriptorsPerSession.key: float64(held.descriptors-base.descriptors) / n,
		pipesPerSession.key:       float64(held.pipes-base.pipes) / n,
		idleCPU.key:               100 * used.proxy.Seconds() / result.Seconds,
		otherCPU.key:              max(100*(used.machine-used.proxy-used.client-used.target).Seconds()/result.Seconds, 0),
	})
	return nil
}
