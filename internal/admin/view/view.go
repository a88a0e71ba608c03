// Package view writes the status of a proxy as a table for people, in plain text or with the colours of a terminal.
package view

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// Options are how a status is shown.
type Options struct {
	Program string          // the version of the proxy
	Width   int             // of the terminal; 0: nothing is cut or wrapped
	Colour  bool            // with the escapes of a terminal
	Before  *proxy.Snapshot // an earlier one, for rates; nil: there is none
	Apps    []string        // only these; empty: all
}

// Text writes a snapshot as lines.
func Text(s *proxy.Snapshot, o Options) string {
	p := &painter{Options: o, s: s}
	p.node()
	p.names()
	for i := range s.Apps {
		if len(o.Apps) == 0 || slices.Contains(o.Apps, s.Apps[i].Name) {
			p.app(&s.Apps[i])
		}
	}
	p.events()
	return p.text.String()
}

// painter is a text that is under way.
type painter struct {
	Options
	s    *proxy.Snapshot
	text strings.Builder
}

// A tint is the colour of a text: a parameter of SGR of ECMA-48.
type tint string

const (
	plain  tint = ""
	bold   tint = "1"
	faint  tint = "2"
	red    tint = "31"
	green  tint = "32"
	yellow tint = "33"
)

func (p *painter) dye(t tint, s string) string {
	if !p.Colour || t == plain || s == "" {
		return s
	}
	return "\x1b[" + string(t) + "m" + s + "\x1b[0m"
}

func (p *painter) line(parts ...string) {
	p.text.WriteString(strings.TrimRight(strings.Join(parts, ""), " ") + "\n")
}

// A part is a word or some that belong together, in a colour.
type part struct {
	tint
	text string
}

// flow writes parts side by side, on as many lines as it takes.
func (p *painter) flow(parts ...part) {
	const gap = "   "
	line, used := "", 0
	for _, part := range parts {
		text := clean(part.text)
		switch {
		case used == 0:
		case p.Width > 0 && used+len(gap)+length(text) > p.Width:
			p.line(line)
			line, used = "  ", 2
		default:
			line, used = line+gap, used+len(gap)
		}
		line, used = line+p.dye(part.tint, text), used+length(text)
	}
	p.line(line)
}

// para writes a text of any length after a head; further lines are indented as the text is. Nothing is no line.
func (p *painter) para(head string, t tint, s string) {
	if s == "" {
		return
	}
	width := 0
	if p.Width > 0 {
		width = max(20, p.Width-length(head))
	}
	for given := range strings.SplitSeq(s, "\n") {
		for _, l := range wrap(clean(given), width) {
			p.line(head, p.dye(t, l))
			head = strings.Repeat(" ", length(head))
		}
	}
}

func (p *painter) ago(t time.Time) string { return span(p.s.Taken.Sub(t)) }

// node writes how the proxy as a whole is.
func (p *painter) node() {
	s := p.s
	shade := map[proxy.Stage]tint{proxy.Serving: green, proxy.Stopping: red}[s.State]
	if s.State == proxy.Draining || s.State == proxy.Starting {
		shade = yellow
	}
	head := string(s.State)
	if !s.Started.IsZero() {
		head += ", up " + p.ago(s.Started)
	}
	p.flow(part{bold, p.identity()}, part{shade, head}, part{plain, "engine " + s.Engine},
		part{plain, fmt.Sprintf("workers %d/%d", s.Workers.Busy, s.Workers.Max)})
	if s.State == proxy.Draining {
		p.para("", yellow, "The node is draining: it keeps serving, but reports not ready to load balancers.")
	}
	if s.Reloads.Problem != "" {
		p.para("", red, "The last reload was refused; the configuration of "+p.ago(s.Reloads.LastSuccess)+" ago stays active:")
		p.para("  ", red, s.Reloads.Problem)
	}
	for _, x := range s.Shortages {
		p.para("", red, shortage(&x)+" for "+p.ago(x.Since)+": "+x.Problem)
	}
	if s.Log.Configured != "" {
		p.para("", yellow, logLevel(s))
	}
	if s.Log.Problem != "" {
		p.para("", red, fmt.Sprintf("The log does not accept entries, %d lost: %s", s.Log.Lost, s.Log.Problem))
	}
}

// identity says which proxy it is, in one line.
func (p *painter) identity() string {
	text := strings.TrimSpace("tcp-proxy " + p.Program)
	if p.s.Hostname == "" {
		return text
	}
	text += " on "
	width := 0
	if p.Width > 0 {
		width = max(10, p.Width-length(text))
	}
	return text + cut(clean(p.s.Hostname), width)
}

// logLevel says that an operator has set the level of the log.
func logLevel(s *proxy.Snapshot) string {
	until := ""
	if !s.Log.Until.IsZero() {
		until = ", for another " + span(s.Log.Until.Sub(s.Taken))
	}
	return fmt.Sprintf("The log level is %s%s; the configured level is %s.", s.Log.Level, until, s.Log.Configured)
}

// shortage says what fails because the machine lacks something.
func shortage(x *proxy.Shortage) string {
	switch relay.Lack(x.Kind) {
	case relay.LackConnect:
		return "Connects of app " + x.App + " fail for a local reason,"
	case relay.LackPipe:
		return "Pipes cannot be created, and bytes are copied instead of spliced,"
	}
	return "Sessions of app " + x.App + " fail for a local reason,"
}

// names writes which names cannot be looked up, or are late.
func (p *painter) names() {
	for _, n := range p.s.Names {
		if n.Problem == "" {
			if len(n.Addresses) == 0 && n.Refreshed.IsZero() {
				p.para("", yellow, n.Name+": waiting for the first answer")
			}
			if n.Overdue > 0 {
				late := span(time.Duration(n.Overdue * float64(time.Second)))
				p.para("", yellow, fmt.Sprintf("%s: its answer expired %s ago and is used until a new one arrives", n.Name, late))
			}
			continue
		}
		state := "lookups have failed for %s, it has no address yet"
		switch some := len(n.Addresses) > 0; {
		case n.Partial && some:
			state = "only a part of its answer has been usable for %s"
		case n.Partial:
			state = "no address of its answer has been usable for %s"
		case some:
			state = "lookups have failed for %s, using its last answer"
		}
		p.para("", red, n.Name+": "+fmt.Sprintf(state, p.ago(n.Since))+": "+n.Problem)
	}
}

// app writes an app with its targets.
func (p *painter) app(a *proxy.App) {
	before := p.before(a.Name)
	p.line()
	up, down, begun := p.perSecond(before, func(b *proxy.App) float64 { return float64(a.Upload - b.Upload) }),
		p.perSecond(before, func(b *proxy.App) float64 { return float64(a.Download - b.Download) }),
		p.perSecond(before, func(b *proxy.App) float64 { return float64(begunOf(a) - begunOf(b)) })
	p.flow(part{bold, a.Name}, part{plain, a.Balance}, part{plain, count(a.Active, "session")}, part{plain, rate(begun) + " new/s"},
		part{plain, bytesRate(up) + " up"}, part{plain, bytesRate(down) + " down"})
	p.para("  ports ", plain, strings.Join(ranges(a.Ports), ", "))
	for _, port := range a.Ports {
		if port.Problem != "" {
			name := port.Name
			if port.Systemd {
				name, _ = socketsOf([]proxy.Port{port})
			}
			p.para("  ", red, fmt.Sprintf("accepting on %s fails: %s", name, port.Problem))
		}
	}
	p.para("  limits ", plain, limits(a.Limits))
	p.para("  ", yellow, counts("refused: ", a.Refused))
	p.targets(a, before)
}

// limits lists the limits of an app by their keys; it is empty if there are none.
func limits(l *proxy.Limits) string {
	if l == nil {
		return ""
	}
	var parts []string
	add := func(key string, n int, text string) {
		if n > 0 {
			parts = append(parts, key+" "+text)
		}
	}
	add("max_sessions", l.MaxSessions, fmt.Sprint(l.MaxSessions))
	add("max_sessions_per_source", l.MaxSessionsPerSource, fmt.Sprint(l.MaxSessionsPerSource))
	add("sessions_per_second", l.SessionsPerSecond, fmt.Sprint(l.SessionsPerSecond))
	add("sessions_per_second_per_source", l.SessionsPerSecondPerSource, fmt.Sprint(l.SessionsPerSecondPerSource))
	if b := l.BytesPerSecond; b != nil {
		add("bytes_per_second.upload", b.Upload, fmt.Sprint(b.Upload))
		add("bytes_per_second.download", b.Download, fmt.Sprint(b.Download))
	}
	return strings.Join(parts, ", ")
}

// counts lists counts that are not 0 by their words; it is empty if there are none.
func counts(head string, of map[string]uint64) string {
	var parts []string
	for _, word := range slices.Sorted(maps.Keys(of)) {
		if of[word] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", of[word], word))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return head + strings.Join(parts, ", ")
}

// begunOf is how many sessions an app has had, those that are open included.
func begunOf(a *proxy.App) uint64 {
	n := uint64(a.Active)
	for _, ended := range a.Ended {
		n += ended
	}
	return n
}

// before gives what an app was in the snapshot before; nil if it was not.
func (p *painter) before(name string) *proxy.App {
	if p.Before == nil || !p.Before.Started.Equal(p.s.Started) || !p.s.Taken.After(p.Before.Taken) {
		return nil
	}
	for i := range p.Before.Apps {
		if p.Before.Apps[i].Name == name {
			return &p.Before.Apps[i]
		}
	}
	return nil
}

// perSecond is how fast something grows; -1 if that is not known.
func (p *painter) perSecond(before *proxy.App, growth func(*proxy.App) float64) float64 {
	if before == nil {
		return -1
	}
	return max(0, growth(before)/p.s.Taken.Sub(p.Before.Taken).Seconds())
}

// The columns of the table of targets but the first one: those that are always shown, and those that only a wide terminal has
// room for.
const (
	columnsFormat = "  %s  %6s  %11s  %6s  %7s"
	wideFormat    = "  %6s  %8s  %8s  %8s  %8s"
)

var (
	columnsWidth = length(fmt.Sprintf(columnsFormat, pad("", stateWidth), "", "", "", ""))
	wideWidth    = length(fmt.Sprintf(wideFormat, "", "", "", "", ""))
)

const (
	stateWidth    = len("draining")
	sessionsWidth = 11
	nameWidth     = 20 // what the columns of a wide terminal leave for the first one, at least
)

// columns says how a table of targets is laid out.
type columns struct {
	name int  // width of the first one
	wide bool // with those of wideFormat
}

// layout finds the layout for first columns of which the widest has that width.
func (p *painter) layout(widest int) columns {
	if p.Width == 0 {
		return columns{widest, true}
	}
	room := p.Width - 2 - columnsWidth
	wide := room-wideWidth >= nameWidth
	if wide {
		room -= wideWidth
	}
	return columns{max(10, min(widest, room)), wide}
}

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-length(s))) }

// targets writes the table of an app's targets.
func (p *painter) targets(a *proxy.App, before *proxy.App) {
	widest := len("TARGET")
	for i := range a.Targets {
		widest = max(widest, length(labelOf(&a.Targets[i], 0)))
	}
	c := p.layout(widest)
	head := "  " + pad("TARGET", c.name) + fmt.Sprintf(columnsFormat, pad("STATE", stateWidth), "SINCE", "SESSIONS", "NEW/S", "CONNECT")
	if c.wide {
		head += fmt.Sprintf(wideFormat, "WEIGHT", "TOTAL", "FAILED", "UP", "DOWN")
	}
	p.line(p.dye(faint, head))
	past := map[string]*proxy.Target{}
	if before != nil {
		for i := range before.Targets {
			past[before.Targets[i].Name] = &before.Targets[i]
		}
	}
	for i := range a.Targets {
		p.target(&a.Targets[i], past[a.Targets[i].Name], c)
	}
}

// labelOf is a target's name, cut to a width, and what it is beside that.
func labelOf(t *proxy.Target, width int) string {
	rest := ""
	if t.Backup {
		rest = " (backup)"
	}
	if width > 0 {
		width = max(1, width-length(rest))
	}
	return cut(clean(t.Name), width) + rest
}

// sessionsOf is how many sessions a target has, of how many if that is limited.
func sessionsOf(t *proxy.Target) string {
	switch exact := fmt.Sprintf("%d/%d", t.Active, t.MaxSessions); {
	case t.MaxSessions == 0:
		return fmt.Sprint(t.Active)
	case len(exact) <= sessionsWidth:
		return exact
	}
	return scaled(float64(t.Active), "") + "/" + scaled(float64(t.MaxSessions), "")
}

func (p *painter) target(t, past *proxy.Target, c columns) {
	shade, state := map[upstream.State]tint{upstream.Alive: green, upstream.Dead: red, upstream.Draining: yellow, upstream.Down: faint}[t.State], string(t.State)
	if t.Untested && t.State == upstream.Alive {
		shade, state = plain, "untested"
	}
	begun := -1.0
	if past != nil {
		begun = max(0, (float64(t.Sessions)-float64(past.Sessions))/p.s.Taken.Sub(p.Before.Taken).Seconds())
	}
	since := "-"
	if !t.Since.IsZero() {
		since = p.ago(t.Since)
	}
	text := "  " + pad(labelOf(t, c.name), c.name) + fmt.Sprintf(columnsFormat,
		p.dye(shade, pad(state, stateWidth)), since, sessionsOf(t), rate(begun), seconds(t.Connect))
	if c.wide {
		failed := uint64(0)
		for _, n := range t.Failures {
			failed += n
		}
		text += fmt.Sprintf(wideFormat, fmt.Sprint(t.Weight), total(t.Sessions), total(failed), scaled(float64(t.Upload), "B"), scaled(float64(t.Download), "B"))
	}
	p.line(text)
	reason := t.Reason
	if t.State == upstream.Dead && t.Retry > 0 {
		reason += "; next try in " + span(time.Duration(t.Retry*float64(time.Second)))
	}
	if reason != "" {
		p.para("    ", shade, reason)
	}
	if t.EarlyCloses > 0 {
		p.para("    ", yellow, earlyCloses(t))
	}
}

// earlyCloses says that a target accepts sessions and ends them at once.
func earlyCloses(t *proxy.Target) string {
	return fmt.Sprintf("it closed or reset %d of %s right after the connect, without sending a byte", t.EarlyCloses, count(int64(t.Sessions), "session"))
}

// lastEvents is how many events are shown.
const lastEvents = 5

// events writes what has happened last, the newest at the end.
func (p *painter) events() {
	var shown []proxy.Event
	for _, e := range p.s.Events {
		if len(p.Apps) == 0 || e.App == "" || slices.Contains(p.Apps, e.App) {
			shown = append(shown, e)
		}
	}
	if len(shown) == 0 {
		return
	}
	p.line()
	p.line(p.dye(faint, "LAST EVENTS"))
	for _, e := range shown[max(0, len(shown)-lastEvents):] {
		where := ""
		for _, part := range []string{e.App, e.Port, e.Target} {
			if part != "" {
				where += part + " "
			}
		}
		text := where + e.Text
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		p.para("  "+pad(p.ago(e.Time)+" ago", 12), plain, strings.ReplaceAll(text, "\n", "; "))
	}
}
