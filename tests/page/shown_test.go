package page

import (
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/proxy"
)

func TestWhatIsWrongComesFirst(t *testing.T) {
	tab := desktop(t, serve(t, trouble()))
	same(t, "problems", texts(tab, "#wrong h2, #wrong li"), []string{
		"What is wrong: 5 problems",
		"The last reload was refused. /etc/tcp-proxy/config.json:14:9: apps[0].ports[1]: 70000 is not a port: ports are 1 to 65535 The configuration of 1 Mar 00:12:00 stays active.",
		"db does not accept. 127.0.0.1:5432: accept4: too many open files. show",
		"cache has no live target. unix:/run/redis.sock: connect: no such file or directory. since 1 Mar 03:11:20, 40 s show",
		"web: 1 of 3 targets dead. 10.0.0.2:80: connect: connection refused. since 1 Mar 03:09:00, 3 min show",
		"db.internal does not resolve. lookup db.internal on 10.0.0.53:53: server misbehaving. Its previous addresses stay in use. since 1 Mar 03:07:00, 5 min show",
	})
	same(t, "rows", rows(tab, 5), []string{
		"cache unix:/run/cache.sock | dead | 40 s | | 200",
		"unix:/run/redis.sock | dead | 40 s | connect: no such file or directory · next try in 12 s | 0",
		"db 127.0.0.1:5432 | not accepting | | 127.0.0.1:5432 does not accept: accept4: too many open files | 34",
		"db.internal:5432/10.0.1.1 | alive | 2 d 2 h | | 20",
		"db.internal:5432/10.0.1.2 | alive | 2 d 2 h | | 20",
		"web 5001, 5002 | 1 of 3 alive | 3 min | | 800",
		"10.0.0.2:80 | dead | 3 min | connect: connection refused · next try in 8 s | 0",
		"10.0.0.3:80 | draining | 20 min | drained by the operator | 20",
		"10.0.0.1:80 | alive | 2 d 2 h | | 20",
	})
	same(t, "figures", texts(tab, "#figures dl > div"), []string{
		"Targets alive 3 of 6 dead 2, draining 1", "Sessions 1,034 in 3 apps", "New sessions – – refused",
		"Workers busy 1,034 of 10,000 accept never paused", "Download – to clients", "Upload – to targets",
		"Connect time 400 µs slowest 400 µs, web 10.0.0.1:80", "Configuration reload refused of 1 Mar 00:12:00 · loaded 3 times, 1 refused",
	})
	same(t, "events", texts(tab, "#events li"), []string{
		"1 Mar 03:11:20 cache unix:/run/redis.sock target is dead: connect: no such file or directory",
		"1 Mar 03:10:30 db 127.0.0.1:5432 accept failed; retrying with back-off: accept4: too many open files",
		"1 Mar 03:10:00 reload refused: /etc/tcp-proxy/config.json:14:9: apps[0].ports[1]: 70000 is not a port: ports are 1 to 65535",
		"1 Mar 03:09:00 web 10.0.0.2:80 target is dead: connect: connection refused",
		"1 Mar 03:07:00 db.internal:5432 name lookup failed: server misbehaving",
		"1 Mar 02:52:00 web 10.0.0.3:80 target is draining: drained by the operator",
		"1 Mar 00:12:00 reloaded: changed web: targets",
		"27 Feb 23:12:00 started with 3 apps, 4 ports, 5 targets",
	})
	same(t, "names", texts(tab, "#names h2, #names li"), []string{
		"1 name, 1 failing",
		"db.internal 10.0.1.1, 10.0.1.2 lookup db.internal on 10.0.0.53:53: server misbehaving, since 1 Mar 03:07:00, 5 min",
	})
	same(t, "head", texts(tab, "h1, #stage, #node"), []string{"tcp-proxy on lb1.example.net", "serving", "version 1.2.3 · up 2 d 4 h · engine loop"})
	if title := tab.Text("document.title"); title != "(5) lb1.example.net · tcp-proxy "+tab.Text("location.host") {
		t.Errorf("the title is %q", title)
	}
}

// What is wrong with the whole proxy is in no app.
func TestWhatIsWrongWithTheProxy(t *testing.T) {
	s := calm()
	s.State = proxy.Draining
	s.Workers.Busy = s.Workers.Max
	s.Workers.Paused = map[string]uint64{proxy.PausedWorkers: 3, proxy.PausedError: 1}
	s.Apps[0].Ports[1].Problem = "accept4: too many open files"
	s.Apps[1].Targets = nil
	s.Apps[2].Targets[0].State = "down"
	s.Names[0].Addresses, s.Names[0].Problem, s.Names[0].Since = nil, "no such host", night.Add(-time.Minute)
	tab := desktop(t, serve(t, s))
	same(t, "problems", texts(tab, "#wrong li"), []string{
		"All 10,000 workers are busy. New connections wait until a session ends.",
		"web does not accept on 1 of 2 ports. 5002: accept4: too many open files. show",
		"db has no live target. None of its targets has a usable address yet. show",
		"db.internal does not resolve. no such host. It has no address yet. since 1 Mar 03:11:00, 1 min",
		"cache has no live target. unix:/run/redis.sock is down. since 28 Feb 01:12:00, 2 d 2 h show",
		"The proxy is draining. It keeps serving, but reports not ready, so that load balancers send new connections elsewhere.",
	})
	same(t, "figures", texts(tab, "#figure-workers"), []string{"Workers busy 10,000 of 10,000 accept paused 4 times: workers 3, error 1"})
	apps := []string{"db 127.0.0.1:5432 | no target", "cache unix:/run/cache.sock | down", "unix:/run/redis.sock | down", "web 5001, 5002 | 1 of 2 ports fail"}
	same(t, "rows", rows(tab, 2)[:4], apps)
}

// The log is no part of an app, and may be in trouble while all goes well.
func TestTheLogTakesNothing(t *testing.T) {
	s := calm()
	s.Log = proxy.Log{Lost: 1700, Problem: "write /dev/stderr: no space left on device"}
	tab := desktop(t, serve(t, s))
	same(t, "problems", texts(tab, "#wrong h2, #wrong li"), []string{
		"What is wrong: 1 problem",
		"The log does not accept entries. write /dev/stderr: no space left on device. 1,700 entries lost so far. Sessions go on.",
	})
	s.Log = proxy.Log{Lost: 1, Problem: "it has taken no entry for 7s"}
	tab = desktop(t, serve(t, s))
	same(t, "problems", texts(tab, "#wrong li"), []string{
		"The log does not accept entries. it has taken no entry for 7s. 1 entry lost so far. Sessions go on.",
	})
	s.Log.Problem = "" // it takes entries again
	tab = desktop(t, serve(t, s))
	same(t, "problems", texts(tab, "#wrong h2, #wrong li"), []string{"Nothing is wrong."})
}

// The head says which level the log has, while an operator has set another than the configured one.
func TestLogLevelOfAnOperator(t *testing.T) {
	s := calm()
	s.Log = proxy.Log{Level: "debug", Configured: "info", Until: night.Add(10 * time.Minute)}
	tab := desktop(t, serve(t, s))
	const always = "version 1.2.3 · up 2 d 4 h · engine loop"
	same(t, "head", texts(tab, "#node"), []string{always + " · log level debug until 1 Mar 03:22:00, not info"})
	s.Log.Level, s.Log.Until = "error", time.Time{}
	tab = desktop(t, serve(t, s))
	same(t, "head", texts(tab, "#node"), []string{always + " · log level error, not info"})
	s.Log = proxy.Log{Level: "info"}
	tab = desktop(t, serve(t, s))
	same(t, "head", texts(tab, "#node"), []string{always})
}

// An answer that is old is a problem, although nothing says that its name fails.
func TestAnOldAnswer(t *testing.T) {
	s := calm()
	s.Names[0].Refreshed, s.Names[0].Expires, s.Names[0].Overdue = night.Add(-10*time.Minute), night.Add(-5*time.Minute), 300
	tab := desktop(t, serve(t, s))
	same(t, "problems", texts(tab, "#wrong li"), []string{
		"The answer for db.internal has expired. It is used until a new one arrives. since 1 Mar 03:07:00, 5 min show",
	})
	same(t, "names", texts(tab, "#names h2, #names li"), []string{"1 name", "db.internal 10.0.1.1, 10.0.1.2 asked 10 min ago, out of date for 5 min"})
}

// What this machine lacks is a problem while it lasts.
func TestShortages(t *testing.T) {
	s := calm()
	s.Shortages = []proxy.Shortage{
		{Kind: "pipe", Problem: "pipe2: too many open files", Since: night.Add(-time.Minute), Last: night},
		{Kind: "connect", App: "web", Problem: "socket: too many open files", Since: night.Add(-time.Minute), Last: night},
	}
	tab := desktop(t, serve(t, s))
	same(t, "problems", texts(tab, "#wrong li"), []string{
		"Connects of web fail for a local reason. socket: too many open files. since 1 Mar 03:11:00, 1 min show",
		"Pipes cannot be created; bytes are copied instead of spliced. pipe2: too many open files. since 1 Mar 03:11:00, 1 min",
	})
}

func TestNothingIsWrong(t *testing.T) {
	tab := desktop(t, serve(t, calm()))
	same(t, "problems", texts(tab, "#wrong h2, #wrong li"), []string{"Nothing is wrong."})
	same(t, "names", texts(tab, "#names h2, #names li"), []string{"1 name", "db.internal 10.0.1.1, 10.0.1.2 asked 12 s ago, again in 18 s"})
	same(t, "first row", rows(tab, 4)[:1], []string{"web 5001, 5002 | 3 of 3 alive | |"})
}

// Of a target to which nobody has connected, the page does not say that it is alive, and not that nothing is wrong.
func TestUntestedTargets(t *testing.T) {
	s := calm()
	s.Apps[0].Targets[2].Untested = true
	s.Apps[2].Targets[0].Untested = true
	tab := desktop(t, serve(t, s))
	same(t, "problems", texts(tab, "#wrong h2, #wrong li"), []string{"Nothing is known to be wrong. 2 targets of 6 untested."})
	same(t, "figure", texts(tab, "#figure-targets"), []string{"Targets alive 4 of 6 untested 2"})
	same(t, "rows", rows(tab, 2), []string{
		"web 5001, 5002 | 2 of 3 alive, 1 untested", "10.0.0.1:80 | alive", "10.0.0.2:80 | alive", "10.0.0.3:80 | untested",
		"db 127.0.0.1:5432 | 2 of 2 alive", "db.internal:5432/10.0.1.1 | alive", "db.internal:5432/10.0.1.2 | alive",
		"cache unix:/run/cache.sock | untested", "unix:/run/redis.sock | untested",
	})
	same(t, "looks", strings.Fields(tab.Text(`[...document.querySelectorAll("#rows .target, [data-key='app cache']")].map((r) => r.className.split(" ")[1] + r.querySelector("td.state use").getAttribute("href")).join(" ")`)), []string{
		"fine#icon-alive", "fine#icon-alive", "untested#icon-untested", "fine#icon-alive", "fine#icon-alive", "untested#icon-untested", "untested#icon-untested",
	})
	same(t, "why", texts(tab, "[data-key='target web 10.0.0.3:80'] td.why"), []string{"no connect and no probe has succeeded yet"})
	same(t, "choices", texts(tab, "#states button"), []string{"all 6", "alive 4", "untested 2", "dead 0", "draining 0", "down 0"})
	tab.Click(`#states [data-state=untested]`)
	same(t, "rows", rows(tab, 2), []string{"web 5001, 5002 | 2 of 3 alive, 1 untested", "10.0.0.3:80 | untested", "cache unix:/run/cache.sock | untested", "unix:/run/redis.sock | untested"})
}

// Of a name that has only a part of its addresses, the page does not say that it does not resolve, nor that an earlier answer is in
// use.
func TestNamesKnownInPart(t *testing.T) {
	s := calm()
	s.Names[0].Partial, s.Names[0].Problem, s.Names[0].Since = true, "no IPv6", night.Add(-time.Minute)
	s.Names = append(s.Names, proxy.Name{Name: "sink.internal:80", Partial: true, Problem: "0.0.0.0:80 cannot be a target", Since: night.Add(-time.Minute)},
		proxy.Name{Name: "new.internal:80"})
	tab := desktop(t, serve(t, s))
	same(t, "a name without an answer", texts(tab, "#names li:last-child"), []string{"new.internal:80 no address waiting for the first answer"})
	same(t, "its look", []string{tab.Text(`document.querySelector("#names li:last-child use").getAttribute("href")`)}, []string{"#icon-untested"})
	same(t, "problems", texts(tab, "#wrong li"), []string{
		"sink.internal:80 resolves only in part. 0.0.0.0:80 cannot be a target. It has no usable address. since 1 Mar 03:11:00, 1 min",
		"db.internal resolves only in part. no IPv6. Its other addresses are in use. since 1 Mar 03:11:00, 1 min show",
	})
}

// A port whose sockets systemd has made is shown once, with their addresses.
func TestSocketsOfSystemd(t *testing.T) {
	s := calm()
	s.Apps[0].Ports = []proxy.Port{
		{Name: "5001", Address: "[::]:5001"}, {Name: "5002", Address: "[::]:5002", Systemd: true},
		{Name: "systemd:web", Address: "0.0.0.0:80", Systemd: true}, {Name: "systemd:web", Address: "[::]:80", Systemd: true},
	}
	const all = "5001, 5002 (systemd: [::]:5002), systemd:web (0.0.0.0:80, [::]:80)"
	tab := desktop(t, serve(t, s))
	same(t, "row", rows(tab, 1)[:1], []string{"web " + all})
	tab.Click(`tr[data-key="app web"] [data-does=more]`)
	same(t, "details", texts(tab, `tr[data-key="details app web"] [data-fact=Ports]`), []string{"Ports " + all})
	s.Apps[0].Ports[3].Problem = "too many open files"
	same(t, "problem", texts(desktop(t, serve(t, s)), "#wrong li"), []string{"web does not accept on 1 of 3 ports. systemd:web (0.0.0.0:80, [::]:80): too many open files. show"})
}

// A proxy that has just begun has nothing to tell.
func TestEmpty(t *testing.T) {
	tab := desktop(t, serve(t, proxy.Snapshot{Version: proxy.SnapshotVersion, Taken: night, State: proxy.Starting}))
	same(t, "problems", texts(tab, "#wrong li"), []string{"The proxy is starting. It is not ready yet."})
	same(t, "texts", texts(tab, "#nothing, #events-none"), []string{"Nothing has happened yet.", "There are no apps."})
	same(t, "targets", texts(tab, "#figure-targets"), []string{"Targets alive 0 of 0 no target yet"})
	if head := texts(tab, "#node")[0]; strings.Contains(head, "up") || strings.Contains(head, "engine") {
		t.Errorf("the head says %q", head)
	}
}

func TestManyProblems(t *testing.T) {
	tab := desktop(t, serve(t, crowd(1000, 2)))
	if got := len(texts(tab, "#wrong li")); got != 6 {
		t.Errorf("%d problems are shown at first, want 6", got)
	}
	tab.Click("#wrong-all")
	same(t, "title and button", texts(tab, "#wrong h2, #wrong-all"), []string{"What is wrong: 20 problems", "Show the worst 6 only"})
	if got := len(texts(tab, "#wrong li")); got != 20 {
		t.Errorf("%d problems are shown, want 20", got)
	}
	tab.Click("#wrong-all")
	tab.Until("the worst are shown again", `document.querySelectorAll("#wrong li").length === 6`)
}

func TestDetails(t *testing.T) {
	s := trouble()
	s.Apps[0].Targets[0].Weight, s.Apps[0].Targets[0].Backup, s.Apps[0].Targets[0].MaxSessions = 3, true, 100
	s.Apps[0].Limits = &proxy.Limits{MaxSessions: 1000, MaxSessionsPerSource: 20, SessionsPerSecond: 500, SessionsPerSecondPerSource: 5,
		BytesPerSecond: &proxy.BytesPerSecond{Upload: 1e6, Download: 2e6}}
	tab := desktop(t, serve(t, s))
	facts := func(key string) []string {
		t.Helper()
		tab.Click(`tr[data-key="` + key + `"] [data-does=more]`)
		return texts(tab, `tr[data-key="details `+key+`"] .facts > div`)
	}
	same(t, "a dead target", facts("target web 10.0.0.2:80"), []string{
		"App web", "State dead since 1 Mar 03:09:00, 3 min", "Reason connect: connection refused", "Next try in 8 s", "Weight 1",
		"Sessions 0 open, 16,000 so far", "Moved 3 GB down, 200 MB up", "Connects failed refused 7, timeout 1",
		"Last events 1 Mar 03:09:00 target is dead: connect: connection refused",
	})
	same(t, "a target that is alive", facts("target web 10.0.0.1:80"), []string{
		"App web", "State alive since 28 Feb 01:12:00, 2 d 2 h", "Weight 3, a backup", "Limits 100 sessions at once",
		"Sessions 20 open, 16,000 so far", "Moved 3 GB down, 200 MB up",
	})
	same(t, "a target of a name", facts("target db db.internal:5432/10.0.1.1"), []string{
		"App db", "Configured as db.internal:5432", "State alive since 28 Feb 01:12:00, 2 d 2 h", "Weight 1",
		"Sessions 20 open, 16,000 so far", "Moved 3 GB down, 200 MB up", "Probes 900 passed, 2 failed", "Last probe 1 Mar 03:11:58: passed",
	})
	same(t, "an app", facts("app web"), []string{
		"Ports 5001, 5002", "Balance round_robin",
		"Limits 1,000 sessions at once, 20 at once of one source, 500 new a second, 5 new a second of one source, 2 MB/s down for a session, 1 MB/s up for a session",
		"Sessions 800 open, 48,812 accepted so far",
		"Ended client_closed 41,000, target_closed 7,000, idle_timeout 12, limited 12", "Refused max_sessions_per_source 12",
		"Limits counted for 77 client addresses", "Moved 68.7 GB down, 4.29 GB up",
		"Last events 1 Mar 03:09:00 target is dead: connect: connection refused 1 Mar 02:52:00 target is draining: drained by the operator",
	})
	tab.Click(`tr[data-key="app web"] [data-does=more]`)
	tab.Until("the details are closed", `!document.querySelector('tr[data-key="details app web"]')`)
}
