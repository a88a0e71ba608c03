package admin

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// Metric describes one metric that /metrics has, beside those of the process (process_*) and of Go's runtime (go_*).
type Metric struct {
	Name   string
	Type   string // counter, gauge or histogram
	Labels []string
	Help   string
}

// Metrics describes every metric that is this proxy's own, in the order of the docs.
func Metrics() []Metric {
	var all []Metric
	for _, f := range families("") {
		all = append(all, f.Metric)
	}
	return all
}

// family is a metric and where its values come from: read, or counts for a histogram of each app.
type family struct {
	Metric
	read   func(s *proxy.Snapshot, give giver)
	counts func(*proxy.App) meter.Counts
}

// giver takes one value of a family, with the values of its labels in their order.
type giver func(value float64, labels ...string)

func gauge(name, labels, help string, read func(*proxy.Snapshot, giver)) family {
	return family{Metric: Metric{"tcp_proxy_" + name, "gauge", strings.Fields(labels), help}, read: read}
}

func counter(name, labels, help string, read func(*proxy.Snapshot, giver)) family {
	return family{Metric: Metric{"tcp_proxy_" + name, "counter", strings.Fields(labels), help}, read: read}
}

func histogram(name, help string, counts func(*proxy.App) meter.Counts) family {
	return family{Metric: Metric{"tcp_proxy_" + name, "histogram", []string{"app"}, help}, counts: counts}
}

// families gives the metrics. The names are a contract with those who have dashboards and alerts. No label has a value
// that comes from clients.
func families(version string) []family {
	return []family{
		gauge("sessions_active", "app", "Open sessions.", ofApps(func(a *proxy.App, give giver) {
			give(float64(a.Active), a.Name)
		})),
		counter("sessions_total", "app cause", "Ended sessions, by cause.", ofApps(func(a *proxy.App, give giver) {
			perWord(causes, a.Ended, func(cause string, n float64) { give(n, a.Name, cause) })
		})),
		counter("sessions_refused_total", "app reason", "Sessions refused by access lists or limits, by reason. tcp_proxy_sessions_total counts them as well, as denied or limited.",
			ofApps(func(a *proxy.App, give giver) {
				perWord(nil, a.Refused, func(reason string, n float64) { give(n, a.Name, reason) })
			})),
		counter("bytes_total", "app direction", "Bytes copied, counted while sessions run: upload is from clients to targets.", ofApps(func(a *proxy.App, give giver) {
			give(float64(a.Upload), a.Name, "upload")
			give(float64(a.Download), a.Name, "download")
		})),
		histogram("connect_seconds", "Time from accept to the connection to a target, of ended sessions that got one.",
			func(a *proxy.App) meter.Counts { return a.Connect }),
		histogram("session_seconds", "Time from accept until both sides were closed.",
			func(a *proxy.App) meter.Counts { return a.Session }),
		gauge("limited_sources", "app", "Client addresses with counted limits.", ofApps(func(a *proxy.App, give giver) {
			give(float64(a.Sources), a.Name)
		})),
		gauge("ports", "app", "Listening sockets.", ofApps(func(a *proxy.App, give giver) {
			give(float64(len(a.Ports)), a.Name)
		})),
		gauge("ports_failing", "app", "Listening sockets on which accept currently fails.", ofApps(func(a *proxy.App, give giver) {
			failing := 0
			for _, p := range a.Ports {
				failing += int(oneIf(p.Problem != ""))
			}
			give(float64(failing), a.Name)
		})),

		gauge("systemd_socket_info", "app port address", "Always 1, for each socket of systemd that a port uses; the labels are the port as in the configuration, and where the socket listens.",
			ofApps(func(a *proxy.App, give giver) {
				for _, p := range a.Ports {
					if p.Systemd {
						give(1, a.Name, p.Name, p.Address)
					}
				}
			})),
		gauge("target_up", "app target", "1 if the target is alive or untested, 0 if it is dead, draining or down.", ofTargets(func(app string, t *proxy.Target, give giver) {
			give(oneIf(t.State == upstream.Alive), app, t.Name)
		})),
		gauge("target_untested", "app target", "1 if no connect to the target and no probe of it has succeeded yet, and it is not known to be dead; else 0.",
			ofTargets(func(app string, t *proxy.Target, give giver) { give(oneIf(t.Untested), app, t.Name) })),
		gauge("target_disabled", "app target", "1 if an operator (draining) or the configuration (down) has taken the target out of service, else 0.",
			ofTargets(func(app string, t *proxy.Target, give giver) {
				give(oneIf(t.State == upstream.Draining || t.State == upstream.Down), app, t.Name)
			})),
		gauge("target_sessions_active", "app target", "Open sessions of the target.", ofTargets(func(app string, t *proxy.Target, give giver) {
			give(float64(t.Active), app, t.Name)
		})),
		gauge("target_sessions_max", "app target", "The max_sessions of the target, if set.", ofTargets(func(app string, t *proxy.Target, give giver) {
			if t.MaxSessions > 0 {
				give(float64(t.MaxSessions), app, t.Name)
			}
		})),
		counter("target_sessions_total", "app target", "Sessions connected to the target.", ofTargets(func(app string, t *proxy.Target, give giver) {
			give(float64(t.Sessions), app, t.Name)
		})),
		counter("target_bytes_total", "app target direction", "Bytes copied, counted while sessions run: upload is to the target.", ofTargets(func(app string, t *proxy.Target, give giver) {
			give(float64(t.Upload), app, t.Name, "upload")
			give(float64(t.Download), app, t.Name, "download")
		})),
		counter("target_early_closes_total", "app target", "Sessions that the target closed or reset within a second of the connect, without sending a byte and before the client had finished.",
			ofTargets(func(app string, t *proxy.Target, give giver) { give(float64(t.EarlyCloses), app, t.Name) })),
		counter("target_connect_errors_total", "app target reason", "Failed connects to the target, by reason.", ofTargets(func(app string, t *proxy.Target, give giver) {
			perWord(nil, t.Failures, func(reason string, n float64) { give(n, app, t.Name, reason) })
		})),
		gauge("target_connect_seconds", "app target", "Smoothed time to connect to the target, once known.", ofTargets(func(app string, t *proxy.Target, give giver) {
			if t.Connect > 0 {
				give(t.Connect, app, t.Name)
			}
		})),
		counter("target_probes_total", "app target result", "Probes of the target that passed or failed, once it has been probed.", ofTargets(func(app string, t *proxy.Target, give giver) {
			if t.Probe != nil {
				give(float64(t.Probe.Passed), app, t.Name, "passed")
				give(float64(t.Probe.Failed), app, t.Name, "failed")
			}
		})),

		gauge("name_addresses", "name", "Addresses that the target name resolves to.", ofNames(func(n *proxy.Name, give giver) {
			give(float64(len(n.Addresses)), n.Name)
		})),
		gauge("name_failing", "name", "1 if the last lookup of the name failed, or only a part of the answer can be used, else 0. After a failure the addresses of the last answer are used, if there was one.", ofNames(func(n *proxy.Name, give giver) {
			give(oneIf(n.Problem != ""), n.Name)
		})),
		gauge("name_overdue_seconds", "name", "How long ago the answer in use for the name expired without a new one; 0 if it has not expired.",
			ofNames(func(n *proxy.Name, give giver) { give(n.Overdue, n.Name) })),

		gauge("workers_busy", "", "Workers with a session.", func(s *proxy.Snapshot, give giver) { give(float64(s.Workers.Busy)) }),
		gauge("workers_max", "", "The size of the worker pool, max_workers.", func(s *proxy.Snapshot, give giver) { give(float64(s.Workers.Max)) }),
		counter("accept_paused_total", "reason", "How often accept was paused, because all workers were busy (workers) or accept failed (error).",
			func(s *proxy.Snapshot, give giver) {
				for _, reason := range []string{proxy.PausedError, proxy.PausedWorkers} {
					give(float64(s.Workers.Paused[reason]), reason)
				}
			}),
		gauge("shortages", "kind", "Operations that currently fail because this machine lacks descriptors, memory or local ports: connections to targets (connect) and other needs of sessions (session), each as a number of apps, or pipes for splicing (pipe).",
			func(s *proxy.Snapshot, give giver) {
				for _, kind := range relay.Lacks {
					lasting := 0
					for _, x := range s.Shortages {
						lasting += int(oneIf(x.Kind == string(kind)))
					}
					give(float64(lasting), string(kind))
				}
			}),
		counter("shortages_total", "kind", "Failures because this machine lacked a resource: connections to targets (connect), other needs of sessions (session), or pipes for splicing (pipe).",
			func(s *proxy.Snapshot, give giver) {
				for _, kind := range relay.Lacks {
					give(float64(s.Lacked[string(kind)]), string(kind))
				}
			}),
		counter("reloads_total", "result", "Configurations applied (succeeded, including the one at the start) or refused.",
			func(s *proxy.Snapshot, give giver) {
				give(float64(s.Reloads.Refused), "refused")
				give(float64(s.Reloads.Succeeded), "succeeded")
			}),
		gauge("last_reload_successful", "", "0 if the last reload was refused, else 1: it was applied, or there was none since the start.", func(s *proxy.Snapshot, give giver) {
			give(oneIf(s.Reloads.Problem == ""))
		}),
		gauge("last_reload_success_timestamp_seconds", "", "When the active configuration was applied, once it was.", func(s *proxy.Snapshot, give giver) {
			giveTime(s.Reloads.LastSuccess, give)
		}),
		counter("log_entries_lost_total", "", "Log entries lost because the log did not accept them.", func(s *proxy.Snapshot, give giver) {
			give(float64(s.Log.Lost))
		}),
		gauge("stage", "stage", "1 for the current stage: starting, serving, draining or stopping.", func(s *proxy.Snapshot, give giver) {
			for _, stage := range []proxy.Stage{proxy.Draining, proxy.Serving, proxy.Starting, proxy.Stopping} {
				give(oneIf(s.State == stage), string(stage))
			}
		}),
		gauge("start_timestamp_seconds", "", "When the proxy started to accept connections, once it has.", func(s *proxy.Snapshot, give giver) {
			giveTime(s.Started, give)
		}),
		gauge("engine_info", "engine", "Always 1; the label is the engine, loop or copy.", func(s *proxy.Snapshot, give giver) { give(1, s.Engine) }),
		gauge("build_info", "version goversion", "Always 1; the labels are the versions of the program and of Go.", func(_ *proxy.Snapshot, give giver) {
			give(1, version, runtime.Version())
		}),
	}
}

func ofApps(read func(*proxy.App, giver)) func(*proxy.Snapshot, giver) {
	return func(s *proxy.Snapshot, give giver) {
		for i := range s.Apps {
			read(&s.Apps[i], give)
		}
	}
}

func ofTargets(read func(app string, t *proxy.Target, give giver)) func(*proxy.Snapshot, giver) {
	return ofApps(func(a *proxy.App, give giver) {
		for i := range a.Targets {
			read(a.Name, &a.Targets[i], give)
		}
	})
}

func ofNames(read func(*proxy.Name, giver)) func(*proxy.Snapshot, giver) {
	return func(s *proxy.Snapshot, give giver) {
		for i := range s.Names {
			read(&s.Names[i], give)
		}
	}
}

// causes are those that a session can end for. Each app has them all from the start: a counter that begins with its first
// failure hides that one from who looks for growth.
var causes = []string{
	string(relay.ClientClosed), string(relay.ClientReset), string(relay.ConnectFailed), string(relay.Denied),
	string(relay.Drained), string(relay.HalfCloseTimeout), string(relay.IdleTimeout), string(relay.Internal), string(relay.LoopDetected),
	string(relay.Limited), string(relay.MaxDuration), string(relay.NoTarget), string(relay.ProxyHeader),
	string(relay.OperatorReset), string(relay.Stopped), string(relay.TargetClosed), string(relay.TargetDead), string(relay.TargetReset),
}

// perWord calls f for the count of each known word, also if it is 0, and of all other words that have one, in order.
func perWord(known []string, counts map[string]uint64, f func(word string, n float64)) {
	for _, word := range known {
		f(word, float64(counts[word]))
	}
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		if !slices.Contains(known, word) {
			f(word, float64(counts[word]))
		}
	}
}

// giveTime gives a time in seconds, unless it has not come yet.
func giveTime(t time.Time, give giver) {
	if !t.IsZero() {
		give(float64(t.UnixMilli()) / 1000)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
