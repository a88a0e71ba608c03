package main

// metric is one figure of a row.
type metric struct {
	key   string // in results.json
	title string // at the head of a column
	unit  string
	// better tells which way is better. Only metrics with a better way are compared with the peers.
	better direction
	digits int // after the point
}

type direction int

const (
	incomparable direction = iota
	higher
	lower
)

var (
	bytesPerSecond = metric{key: "gb_per_second", title: "rate", unit: "GB/s", better: higher, digits: 2}
	cpuPerGB       = metric{key: "cpu_s_per_gb", title: "proxy CPU", unit: "s/GB", better: lower, digits: 3}
	opsPerSecond   = metric{key: "ops_per_second", title: "rate", unit: "op/s", better: higher}
	cpuPerOp       = metric{key: "cpu_us_per_op", title: "proxy CPU", unit: "µs/op", better: lower, digits: 2}
	latencyP50     = metric{key: "p50_us", title: "p50", unit: "µs", better: lower}
	latencyP99     = metric{key: "p99_us", title: "p99", unit: "µs", better: lower}
	latencyP999    = metric{key: "p999_us", title: "p99.9", unit: "µs", better: lower}
	clientCPU      = metric{key: "client_cpu_percent", title: "client", unit: "% core"}
	targetCPU      = metric{key: "target_cpu_percent", title: "target", unit: "% core"}
	proxyCPU       = metric{key: "proxy_cpu_percent", title: "proxy", unit: "% core"}
	otherCPU       = metric{key: "other_cpu_percent", title: "others", unit: "% core"}

	pssPerSession         = metric{key: "pss_kib_per_session", title: "PSS a session", unit: "KiB", better: lower, digits: 2}
	descriptorsPerSession = metric{key: "descriptors_per_session", title: "descriptors a session", better: lower, digits: 2}
	pipesPerSession       = metric{key: "pipe_ends_per_session", title: "of them pipes", digits: 2}
	pssTotal              = metric{key: "pss_mib", title: "PSS in all", unit: "MiB", digits: 1}
	idleCPU               = metric{key: "idle_cpu_percent", title: "idle CPU", unit: "% core", digits: 2}

	callsPerConnection = metric{key: "calls_per_connection", title: "one at a time", unit: "calls", better: lower, digits: 1}
	callsUnderLoad     = metric{key: "calls_per_connection_16", title: "16 clients", unit: "calls", better: lower, digits: 1}
)

// metrics of a row, in the order of its columns.
func (k kind) metrics() []metric {
	switch k {
	case kindBulk:
		return []metric{bytesPerSecond, cpuPerGB, proxyCPU, clientCPU, targetCPU, otherCPU}
	case kindExchange, kindConnect:
		return []metric{opsPerSecond, latencyP50, latencyP99, latencyP999, cpuPerOp, proxyCPU, clientCPU, targetCPU, otherCPU}
	case kindIdle:
		return []metric{pssPerSession, pssTotal, descriptorsPerSession, pipesPerSession, idleCPU, otherCPU}
	case kindSyscalls:
		return []metric{callsPerConnection, callsUnderLoad}
	}
	return nil
}
