package handover

import (
	"time"

	"tcp-proxy/internal/config"
)

// Route is the policy that sessions keep to their end, as values: it may be in no configuration any more.
type Route struct {
	App string // empty: the place is free
	config.Settings
}

// The words of the configuration by their numbers in a record. Words are only added at the end; the first is the default.
var (
	balancers    = []string{config.BalanceRoundRobin, config.BalanceLeastSessions, config.BalanceRandom, config.BalanceSourceHash, config.BalanceFirst, config.BalanceNearest}
	proxyHeaders = []string{"", config.ProxyV1, config.ProxyV2}
	probeTimes   = []string{config.ProbeDead, config.ProbeAlways, config.ProbeNever}
	onDead       = []string{config.OnDeadKeep, config.OnDeadClose}
)

// The greatest limits of the configuration.
const (
	year          = 8760 * time.Hour
	day           = 24 * time.Hour
	mostSessions  = 1_000_000
	mostRate      = 100_000_000_000
	mostAttempts  = 10_000
	mostKeepalive = 32767 * time.Second
)

func (r *Route) fields(f *fields) {
	r.App = f.string(r.App)
	r.Balance = f.word(r.Balance, balancers)
	r.ConnectTimeout = f.duration(r.ConnectTimeout, time.Hour)
	r.ConnectAttempts = f.limit(r.ConnectAttempts, mostAttempts)
	r.RetryDeadAfter = f.duration(r.RetryDeadAfter, day)
	r.IdleTimeout = f.duration(r.IdleTimeout, year)
	r.HalfCloseTimeout = f.duration(r.HalfCloseTimeout, year)
	r.MaxSessionDuration = f.duration(r.MaxSessionDuration, year)
	f.flags(&r.Keepalive.Enabled)
	r.Keepalive.Idle = f.duration(r.Keepalive.Idle, mostKeepalive)
	r.Keepalive.Interval = f.duration(r.Keepalive.Interval, mostKeepalive)
	r.Keepalive.Count = f.limit(r.Keepalive.Count, 127)
	r.Allow = f.networks(r.Allow)
	r.Deny = f.networks(r.Deny)
	r.MaxSessions = f.limit(r.MaxSessions, mostSessions)
	r.MaxSessionsPerSource = f.limit(r.MaxSessionsPerSource, mostSessions)
	r.SessionsPerSecond = f.limit(r.SessionsPerSecond, mostSessions)
	r.SessionsPerSecondPerSource = f.limit(r.SessionsPerSecondPerSource, mostSessions)
	r.BytesPerSecond.Upload = f.limit(r.BytesPerSecond.Upload, mostRate)
	r.BytesPerSecond.Download = f.limit(r.BytesPerSecond.Download, mostRate)
	r.AcceptProxyProtocol.From = f.networks(r.AcceptProxyProtocol.From)
	r.AcceptProxyProtocol.Timeout = f.duration(r.AcceptProxyProtocol.Timeout, time.Hour)
	r.SendProxyProtocol = f.word(r.SendProxyProtocol, proxyHeaders)
	r.SourceAddress = f.ip(r.SourceAddress)
	r.probe(f)
	r.OnDead = f.word(r.OnDead, onDead)
}

func (r *Route) probe(f *fields) {
	p := &r.Probe
	p.When = f.word(p.When, probeTimes)
	p.Interval = f.duration(p.Interval, day)
	p.Timeout = f.duration(p.Timeout, time.Hour)
	p.Rise = f.limit(p.Rise, 100)
	p.Fall = f.limit(p.Fall, 100)
	p.Port = f.limit(p.Port, 65535)
	p.Send = f.string(p.Send)
	p.Expect = f.string(p.Expect)
	p.HTTP.Path = f.string(p.HTTP.Path)
	p.HTTP.Low = f.limit(p.HTTP.Low, 999)
	p.HTTP.High = f.limit(p.HTTP.High, 999)
}

func (r *Route) used() bool { return r.App != "" }

func (r *Route) isBusy() *bool { return nil }
