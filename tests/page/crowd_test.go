package page

import (
	"testing"
	"time"
)

// Thousands of targets are a page of rows at a time.
func TestCrowd(t *testing.T) {
	s := serve(t, crowd(1000, 10))
	tab := desktop(t, s)
	bounded := func() {
		t.Helper()
		var elements int
		tab.Eval(`document.querySelectorAll("*").length`, &elements)
		if elements > 5000 {
			t.Errorf("the page has %d elements", elements)
		}
	}
	bounded()
	same(t, "states", texts(tab, "#states button"), []string{"all 10,000", "alive 9,980", "untested 0", "dead 20", "draining 0", "down 0"})
	same(t, "page", texts(tab, "#page-text"), []string{"1–100 of 1,000 rows · 1,000 apps, 10,000 targets"})
	same(t, "first rows", rows(tab, 4)[:2], []string{
		"app-0007 10007 | 9 of 10 alive | 7 s | 10.0.7.1:80: connect: connection refused",
		"app-0057 10057 | 9 of 10 alive | 57 s | 10.0.57.2:80: connect: connection refused",
	})

	tab.Click(`tr[data-key="app app-0007"] [data-does=open]`)
	same(t, "the targets of an app", rows(tab, 2)[:3], []string{"app-0007 10007 | 9 of 10 alive", "10.0.7.1:80 | dead", "10.0.7.2:80 | alive"})

	tab.Click("#by-target")
	bounded()
	same(t, "page", texts(tab, "#page-text"), []string{"1–100 of 10,000 rows · 1,000 apps, 10,000 targets"})
	for range 3 {
		tab.Click("#page-after")
	}
	same(t, "page", texts(tab, "#page-text"), []string{"301–400 of 10,000 rows · 1,000 apps, 10,000 targets"})
	bounded()

	tab.Eval(`document.querySelector("#search").focus(), 0`, nil)
	tab.Type("app-0815 .5:80")
	same(t, "the one", rows(tab, 2), []string{"10.3.65.5:80 app-0815 | alive"})
}

// An answer that puts rows into another order leaves the focus, what is marked and where the page is scrolled to.
func TestReaderIsLeftAlone(t *testing.T) {
	s := serve(t, crowd(1000, 10))
	tab := desktop(t, s)
	tab.Click("#by-target")
	tab.Eval(`(() => {
		document.querySelector("#rows tr:nth-child(42) [data-does=more]").focus();
		getSelection().selectAllChildren(document.querySelector("#events li:last-child p"));
		scrollTo(0, 900);
		window.focused = document.activeElement;
		window.seenAt = () => document.querySelector("#list").getBoundingClientRect().top;
		window.before = seenAt();
	})()`, nil)
	next := later(crowd(1000, 10), time.Minute)
	for i := range 30 { // first come the dead, then these
		kill(&next.Apps[i].Targets[9], night, "connect: connection timed out", 3)
	}
	s.say(next)
	tab.Until("they are dead", `document.querySelector('#states [data-state="dead"]').innerText === "dead 50"`)
	tab.Until("the first of them is among the first", `document.querySelector("#rows tr").dataset.key === "target app-0000 10.0.0.10:80"`)
	tab.Until("focus, selection and scrolling are as before",
		`document.activeElement === focused && focused.isConnected && getSelection().toString().startsWith("started with") && seenAt() === before`)
}

// A page of targets begins with their app.
func TestPageBeginsWithTheApp(t *testing.T) {
	tab := desktop(t, serve(t, crowd(1, 250)))
	tab.Click(`[data-does=open]`)
	tab.Click("#page-after")
	same(t, "rows", rows(tab, 1)[:2], []string{"app-0000 10000", "10.0.0.100:80"})
	same(t, "page", texts(tab, "#page-text"), []string{"101–200 of 251 rows · 1 app, 250 targets"})
}
