package admin

import (
	"bytes"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/proxy"
)

// gatherer writes the metrics of snapshots in the text format of Prometheus. It is not safe for concurrent use.
type gatherer struct {
	registry  *prometheus.Registry
	collector *collector
}

func newGatherer(version string) gatherer {
	c := &collector{families: families(version)}
	for _, f := range c.families {
		c.descs = append(c.descs, prometheus.NewDesc(f.Name, f.Help, f.Labels, nil))
	}
	g := gatherer{prometheus.NewRegistry(), c}
	g.registry.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return g
}

func (g gatherer) text(s *proxy.Snapshot) ([]byte, error) {
	g.collector.snapshot = s
	found, err := g.registry.Gather()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range found {
		if err := encoder.Encode(family); err != nil {
			return nil, fmt.Errorf("write %s: %w", family.GetName(), err)
		}
	}
	return b.Bytes(), nil
}

// collector gives the metrics of one snapshot to a registry.
type collector struct {
	families []family
	descs    []*prometheus.Desc // of families
	snapshot *proxy.Snapshot    // set before the registry gathers
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for i, f := range c.families {
		desc := c.descs[i]
		if f.counts != nil {
			for j := range c.snapshot.Apps {
				app := &c.snapshot.Apps[j]
				ch <- constHistogram(desc, f.counts(app), app.Name)
			}
			continue
		}
		kind := prometheus.GaugeValue
		if f.Type == "counter" {
			kind = prometheus.CounterValue
		}
		f.read(c.snapshot, func(value float64, labels ...string) {
			m, err := prometheus.NewConstMetric(desc, kind, value, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(desc, err)
			}
			ch <- m
		})
	}
}

func constHistogram(desc *prometheus.Desc, counts meter.Counts, app string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(meter.Bounds))
	sum := uint64(0)
	for i, bound := range meter.Bounds {
		sum += counts.Buckets[i]
		buckets[bound.Seconds()] = sum
	}
	m, err := prometheus.NewConstHistogram(desc, counts.Total, counts.Sum.Seconds(), buckets, app)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}
