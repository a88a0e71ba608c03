package page

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tcp-proxy/internal/proxy"
	"tcp-proxy/tests/harness"
)

// listing is a list of sessions with each thing that one can have.
func listing() proxy.Sessions {
	idle := 10_200.25
	return proxy.Sessions{
		Version: proxy.SessionsVersion, Taken: night, Open: 1234, Matching: 1234, LeftOut: 1232, MayClose: true,
		Sessions: []proxy.Session{
			{ID: 4711, State: "half_closed", App: "web", Port: "5001", Client: "192.0.2.7:4242", Peer: "10.0.0.9:80", Target: "10.0.0.1:80",
				Started: night.Add(-3 * time.Hour), Age: 10_800, Idle: &idle, Upload: 18_120, Download: 2_100_400},
			{ID: 9034, State: "waiting", App: "db", Port: "5432", Client: "unix:", Started: night, Age: 2},
		},
	}
}

// The list is asked for while it is open, with each status and with what is searched for; and not otherwise.
func TestSessionsAreShown(t *testing.T) {
	s := serve(t, calm())
	s.list(listing())
	tab := desktop(t, s)
	later := s.polls.Load() + 3
	tab.Until("some statuses are shown", `!document.querySelector("#stage").hidden`)
	harness.Eventually(t, "some statuses are asked for", func() bool { return s.polls.Load() > later })
	if n := s.listed.Load(); n != 0 {
		t.Errorf("the list is closed, and was asked for %d times", n)
	}
	tab.Click("#sessions-open")
	tab.Until("the list is shown", `document.querySelectorAll("#sessions-rows tr").length === 2`)
	same(t, "rows", texts(tab, "#sessions-rows tr"), []string{
		"4711 3 h 2 h 50 min 18.1 kB 2.1 MB half closed web 192.0.2.7:4242 by 10.0.0.9:80 10.0.0.1:80 Close",
		"9034 2 s – 0 B 0 B waiting db unix: – Close",
	})
	same(t, "count", texts(tab, "#sessions-count, #sessions-note"), []string{"1,234 sessions open, the 2 that have been open longest are shown", ""})
	asked := s.listed.Load()
	harness.Eventually(t, "it is asked for again", func() bool { return s.listed.Load() > asked+2 })

	tab.Eval(`document.querySelector("#sessions-search").focus(), 0`, nil)
	tab.Type("web 192.0.2.7&x")
	harness.Eventually(t, "the proxy searches", func() bool { return s.searched() == "limit=100&search=web%20192.0.2.7%26x" })
	found := listing()
	found.Matching, found.LeftOut, found.Sessions, found.MayClose = 1, 0, found.Sessions[:1], false
	found.Problem = "1 of 2 event loops did not answer within 2s: their sessions are missing here"
	s.list(found)
	tab.Until("what it has found is shown", `document.querySelectorAll("#sessions-rows tr").length === 1`)
	same(t, "what was found", texts(tab, "#sessions-count, #sessions-note, #sessions-rows tr"), []string{
		"1,234 sessions open, 1 match", found.Problem, "4711 3 h 2 h 50 min 18.1 kB 2.1 MB half closed web 192.0.2.7:4242 by 10.0.0.9:80 10.0.0.1:80",
	})
	tab.Press("Escape")
	harness.Eventually(t, "all are asked for", func() bool { return s.searched() == "limit=100&search=" })

	s.expects = "500"
	s.listCode.Store(http.StatusInternalServerError)
	tab.Until("an answer that is none is named", `document.querySelector("#sessions-note").innerText === "The sessions are not known: it says HTTP 500."`)
	s.listCode.Store(0)
	tab.Until("it is back", `document.querySelector("#sessions-note").innerText.includes("event loops")`)
	tab.Click("#sessions-open")
	tab.Until("the list is closed", `!document.querySelector("#sessions-rows").checkVisibility()`)
	harness.Eventually(t, "nobody asks any more", func() bool {
		before, polls := s.listed.Load(), s.polls.Load()
		harness.Eventually(t, "two more statuses", func() bool { return s.polls.Load() > polls+2 })
		return s.listed.Load() == before
	})
}

// What clients and files put into a list is shown as text, and fits.
func TestHostileSessions(t *testing.T) {
	var list proxy.Sessions
	list.Version, list.MayClose = proxy.SessionsVersion, true
	for i, h := range hostile {
		list.Sessions = append(list.Sessions, proxy.Session{ID: uint64(i), State: "established", App: h, Client: h, Peer: h, Target: h, Age: 1e9, Upload: 1 << 60})
	}
	s := serve(t, calm())
	s.list(list)
	for _, width := range []int{1440, 1024, 901, 900, 360, 320} {
		tab := open(t, s, width, 800)
		tab.Click("#sessions-open")
		tab.Until("the list is shown", fmt.Sprintf(`document.querySelectorAll("#sessions-rows tr").length === %d`, len(hostile)))
		fits(t, tab, width)
		for _, h := range hostile {
			if tab.Text(fmt.Sprintf(`String([...document.querySelectorAll("#sessions-rows .app span")].some((e) => e.textContent === %s))`, quoteJS(h))) != "true" {
				t.Errorf("%.60q is not there as it was sent", h)
			}
		}
		if tab.Text("typeof pwned") != "undefined" {
			t.Errorf("a text was run: pwned is %s", tab.Text("String(pwned)"))
		}
		var small []string
		tab.Eval(`[...document.querySelectorAll("#sessions button, #sessions input")].filter((e) => e.checkVisibility()).filter((e) => {
			const {width, height} = e.getBoundingClientRect();
			return width < 24 || height < 24;
		}).map((e) => e.outerHTML.slice(0, 100))`, &small)
		if width < 500 {
			same(t, "too small for a finger", small, []string{})
		}
		tab.Prefer("prefers-color-scheme", map[bool]string{true: "dark", false: "light"}[width > 1000])
		readable(t, tab, fmt.Sprintf("the list at %d", width), 60)
	}
}

// Through a unix socket, as with ssh -L, sessions can be closed: with a second click. Over TCP they can only be seen.
func TestCloseASessionOnThePage(t *testing.T) {
	harness.EachEngineAlone(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target, address, socket := r.Echo(), r.Address(), r.Path("admin.sock")
		p := r.Start(harness.Config{
			Admin: &harness.Admin{Listen: []string{address, "unix:" + socket}},
			Apps:  []harness.App{{Name: "web", Targets: harness.To(target)}},
		})
		client, other := p.Dial(), p.Dial()
		for _, c := range []*harness.Conn{client, other} {
			c.Exchange(c, []byte("hello"))
		}
		of := func(c *harness.Conn) string {
			return fmt.Sprintf(`[...document.querySelectorAll("#sessions-rows tr")].find((row) => row.innerText.includes(%q))`, c.LocalAddr())
		}
		reader := desktop(t, &site{url: "http://" + address + "/"})
		reader.Click("#sessions-open")
		reader.Until("both are shown", of(client)+" && "+of(other))
		if n := len(texts(reader, "#sessions-rows button")); n != 2 || reader.Text(`String([...document.querySelectorAll("#sessions-rows button")].some((e) => e.checkVisibility()))`) != "false" {
			t.Errorf("over TCP, there are buttons (%d)", n)
		}

		tab := desktop(t, &site{url: "http://" + forward(t, socket) + "/"})
		tab.Click("#sessions-open")
		tab.Until("both are shown", of(client)+" && "+of(other))
		tab.Eval(of(client)+`.querySelector("button").dataset.test = "it"`, nil)
		tab.Click("[data-test=it]")
		tab.Until("a second click is wanted", `document.querySelector("[data-test=it]").innerText === "Reset both sides?"`)
		client.Exchange(client, []byte("goes on"))
		tab.Click("[data-test=it]")
		client.AwaitReset()
		tab.Until("it is gone", "!"+of(client)+" && "+of(other))
		tab.Until("the page says so", `/^Session \d+ is closed\.$/.test(document.querySelector("#sessions-note").innerText)`)
		p.ExpectCause(client, "operator_reset")
		other.Exchange(other, []byte("goes on"))
	})
}

// forward gives a TCP address whose connections go to a unix socket, as ssh -L does. It is closed at the end of the test.
func forward(t *testing.T, socket string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		open = append(open, c)
	}
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			keep(from)
			to, err := net.Dial("unix", socket)
			if err != nil {
				from.Close()
				continue
			}
			keep(to)
			for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
				all.Go(func() {
					io.Copy(way[0], way[1])
					way[0].Close()
				})
			}
		}
	})
	return strings.Replace(l.Addr().String(), "127.0.0.1", "localhost", 1)
}
