package page

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/admin"
	"tcp-proxy/tests/harness"
	"tcp-proxy/tests/page/chromium"
)

// running is an active configuration of several files, which could be taken for HTML and is wider than any screen.
func running() admin.Config {
	return admin.Config{
		Version: admin.ConfigVersion, File: "/etc/tcp-proxy/conf.d", ActiveSince: night.Add(-3 * time.Hour), OnDisk: admin.OnDiskSame,
		Overrides: []admin.Override{{Key: "max_workers", Value: "10000"}},
		Files: []admin.ConfigFile{
			{File: "/etc/tcp-proxy/conf.d/a.json", Text: "// <script>alert(1)</script>\n{\n\t\"apps\": []\n}\n"},
			{File: "/etc/tcp-proxy/conf.d/b.json", Text: strings.Repeat("wide ", 200) + "\n" + strings.Repeat("long\n", 200)},
		},
	}
}

func configTexts(tab *chromium.Tab) []string {
	tab.Helper()
	return texts(tab, "#config-about, #config-note, #config-files h3:not([hidden])")
}

// The active configuration is asked for when its section is opened, and again after a reload.
func TestConfigIsShown(t *testing.T) {
	s := serve(t, calm())
	c := running()
	s.config(c)
	tab := desktop(t, s)
	if n := s.configs.Load(); n != 0 || tab.Text(`String(document.querySelector("#config-inside").checkVisibility())`) != "false" {
		t.Errorf("at first the section is open, and was asked for %d times", n)
	}
	tab.Click("#config-open")
	tab.Until("it is shown", `document.querySelectorAll("#config-files pre").length === 2`)
	same(t, "texts", configTexts(tab), []string{
		"/etc/tcp-proxy/conf.d, 2 files, active since 1 Mar 00:12:00, 3 h", "The command line overrides max_workers: 10000.",
		"/etc/tcp-proxy/conf.d/a.json", "/etc/tcp-proxy/conf.d/b.json",
	})
	if got := tab.Text(`document.querySelector("#config-files pre").textContent`); got != c.Files[0].Text {
		t.Errorf("the text is %q", got)
	}
	for _, width := range []int{1280, 400} {
		tab.Screen(width, 800, width < 500)
		fits(t, tab, width)
	}
	tab.Eval(`(() => { const now = performance.now(); performance.now = () => now; })()`, nil) // it is never time to ask again
	asked := s.configs.Load()
	c.OnDisk, c.Overrides, c.File, c.Files = admin.OnDiskChanged, []admin.Override{}, c.Files[0].File, c.Files[:1]
	s.config(c)
	next := calm()
	next.Taken, next.Reloads.LastSuccess = night.Add(time.Minute), night
	s.say(next)
	tab.Until("it is asked for after a reload", `document.querySelectorAll("#config-files pre").length === 1`)
	if n := s.configs.Load(); n != asked+1 {
		t.Errorf("it was asked for %d times after the reload", n-asked)
	}
	same(t, "texts", configTexts(tab), []string{
		"/etc/tcp-proxy/conf.d/a.json, active since 1 Mar 00:12:00, 3 h 1 min",
		"The file on the disk differs from it, or cannot be read. A reload applies the file on the disk.",
	})
	tab.Click("#config-open")
	s.expects = "500"
	s.configCode.Store(http.StatusInternalServerError)
	tab.Click("#config-open")
	tab.Until("an answer that is none is named", `document.querySelector("#config-note").innerText === "The configuration is not known: it says HTTP 500."`)
}

// A configuration of megabytes does not stop the page.
func TestHugeConfigIsCut(t *testing.T) {
	s := serve(t, calm())
	c := running()
	c.Files = []admin.ConfigFile{{File: "/a.json", Text: strings.Repeat("x", 150_000)}, {File: "/b.json", Text: strings.Repeat("y", 150_000)}, {File: "/c.json", Text: "z"}}
	s.config(c)
	tab := desktop(t, s)
	tab.Click("#config-open")
	tab.Until("it is shown", `document.querySelectorAll("#config-files pre").length === 3`)
	var lengths []int
	tab.Eval(`[...document.querySelectorAll("#config-files pre")].map((e) => e.textContent.length)`, &lengths)
	if lengths[0] != 150_000 || lengths[1] != 50_000 || lengths[2] != 0 {
		t.Errorf("the files have %v characters", lengths)
	}
	if note := tab.Text(`document.querySelector("#config-note").innerText`); !strings.Contains(note, "The first 200,000 characters are shown") {
		t.Errorf("the note is %q", note)
	}
}

// A page that cannot act says how to reach one that can: the real path of the socket, or the key that gives one.
func TestHowToReachActions(t *testing.T) {
	for _, c := range []struct {
		listen []string
		want   string
	}{
		{[]string{"127.0.0.1:9901", "unix:/run/tcp-proxy-edge/admin.sock"}, "Read-only here. To close sessions, forward a port to the unix socket, as root or as a member of the group of the service: " +
			"ssh -L 8080:/run/tcp-proxy-edge/admin.sock lb1.example.net, and open http://localhost:8080/."},
		{[]string{"unix:/run/it's here.sock"}, "Read-only here. To close sessions, forward a port to the unix socket, as root or as a member of the group of the service: " +
			`ssh -L 8080:'/run/it'\''s here.sock' lb1.example.net, and open http://localhost:8080/.`},
		{[]string{"127.0.0.1:9901"}, `Actions need a unix socket: add one to admin.listen in the configuration, such as "unix:/run/tcp-proxy/admin.sock".`},
	} {
		answer, list := calm(), listing()
		answer.AdminListen, list.MayClose = c.listen, false
		s := serve(t, answer)
		s.list(list)
		tab := desktop(t, s)
		tab.Click("#sessions-open")
		tab.Until("the way is shown", `document.querySelector("#sessions-reach").checkVisibility()`)
		same(t, "the way", texts(tab, "#sessions-reach"), []string{c.want})
		list.MayClose = true
		s.list(list)
		tab.Until("who may act is told nothing", `!document.querySelector("#sessions-reach").checkVisibility()`)
	}
}

// The page of a real proxy names the socket that the proxy has.
func TestRealProxyIsReached(t *testing.T) {
	r := harness.New(t, "loop")
	address, socket := r.Address(), r.Path("admin.sock")
	r.Start(harness.Config{
		Admin: &harness.Admin{Listen: []string{address, "unix:" + socket}},
		Apps:  []harness.App{{Name: "web", Targets: harness.To(r.Echo())}},
	})
	tab := desktop(t, &site{url: "http://" + address + "/"})
	tab.Click("#sessions-open")
	tab.Until("the socket is named", `document.querySelector("#sessions-reach-command").innerText.includes(`+quoteJS(" -L 8080:"+socket+" ")+`)`)
	tab.Click("#config-open")
	tab.Until("the configuration is shown", `document.querySelector("#config-files pre")?.textContent.includes(`+quoteJS(socket)+`)`)
}
