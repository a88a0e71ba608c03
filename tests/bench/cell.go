package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// cell is one measurement: a target and a contestant that run, and a load to put on them.
type cell struct {
	bench  *bench
	row    row
	ground ground
	target *child
	proxy  proxy
	direct bool
}

// startClient starts a client with so many sessions and returns when they are open. The caller stops it.
func (c *cell) startClient(ctx context.Context, sessions, limit int) (*child, error) {
	order := clientOrder{Load: c.row.load, Sessions: sessions, Size: c.row.size, Limit: limit,
		To: []netip.AddrPort{c.ground.listen}, Sources: c.ground.sources, OpenTime: openTime}
	if c.direct {
		order.To = c.ground.targets
	}
	client, err := startPart(partClient, order)
	if err != nil {
		return nil, err
	}
	var said clientOpen
	if err := client.answer(ctx, &said); err != nil {
		client.stop()
		return nil, err
	}
	if said.Failed != "" {
		client.stop()
		return nil, errors.New(said.Failed)
	}
	return client, nil
}

// usage is the CPU time that everybody has used up to a moment.
type usage struct {
	proxy, client, target, machine time.Duration
}

func (c *cell) usage(client *child) (usage, error) {
	var u usage
	var errs [4]error
	u.proxy, errs[0] = processesTime(c.proxy.processes)
	u.client, errs[1] = processTime(client.pid())
	u.target, errs[2] = processTime(c.target.pid())
	u.machine, errs[3] = machineBusy()
	return u, errors.Join(errs[:]...)
}

// since returns what was used from an earlier moment on.
func (u usage) since(v usage) usage {
	return usage{proxy: u.proxy - v.proxy, client: u.client - v.client, target: u.target - v.target, machine: u.machine - v.machine}
}

// interval lets the client's load run for the measured interval and returns its result and the CPU time used.
func (c *cell) interval(ctx context.Context, client *child, d time.Duration) (clientResult, usage, error) {
	var result clientResult
	before, err := c.usage(client)
	if err != nil {
		return result, usage{}, err
	}
	if err := client.command(commandStart); err != nil {
		return result, usage{}, err
	}
	if err := pause(ctx, d); err != nil {
		return result, usage{}, err
	}
	if err := client.command(commandStop); err != nil {
		return result, usage{}, err
	}
	if err := client.answer(ctx, &result); err != nil {
		return result, usage{}, err
	}
	after, err := c.usage(client)
	if err == nil && result.Broken > 0 {
		err = fmt.Errorf("%d sessions failed, the first with: %s", result.Broken, result.Error)
	}
	return result, after.since(before), err
}

// load measures rate, latency and CPU time under the row's load.
func (c *cell) load(ctx context.Context, into *cellResult) error {
	client, err := c.startClient(ctx, c.row.sessions, 0)
	if err != nil {
		return err
	}
	defer client.stop()
	if err := pause(ctx, c.bench.options.warmup); err != nil {
		return err
	}
	result, used, err := c.interval(ctx, client, c.bench.options.measure)
	if err != nil {
		return err
	}
	s, err := loadSample(c.row.kind, result, used, c.direct)
	if err != nil {
		return err
	}
	into.Samples = append(into.Samples, s)
	return nil
}

// loadSample turns counts into the metrics of a row. A direct connection has no proxy and so no CPU time of one.
func loadSample(k kind, r clientResult, used usage, direct bool) (sample, error) {
	percent := func(d time.Duration) float64 { return 100 * d.Seconds() / r.Seconds }
	s := sample{
		clientCPU.key: percent(used.client),
		targetCPU.key: percent(used.target),
		otherCPU.key:  max(percent(used.machine-used.proxy-used.client-used.target), 0),
	}
	if !direct {
		s[proxyCPU.key] = percent(used.proxy)
	}
	if r.Bytes == 0 || k != kindBulk && r.Operations == 0 {
		return nil, errors.New("nothing moved in the measured interval")
	}
	if k == kindBulk {
		gb := float64(r.Bytes) / 1e9
		s[bytesPerSecond.key] = gb / r.Seconds
		if !direct {
			s[cpuPerGB.key] = used.proxy.Seconds() / gb
		}
		return s, nil
	}
	s[opsPerSecond.key] = float64(r.Operations) / r.Seconds
	s[latencyP50.key] = r.P50 / 1e3
	s[latencyP99.key] = r.P99 / 1e3
	s[latencyP999.key] = r.P999 / 1e3
	if !direct {
		s[cpuPerOp.key] = used.proxy.Seconds() * 1e6 / float64(r.Operations)
	}
	return s, nil
}
