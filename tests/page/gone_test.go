package page

import (
	"strings"
	"testing"
	"time"
)

func TestProxyGoneAndBack(t *testing.T) {
	s := serve(t, calm())
	s.expects = "ERR_CONNECTION_REFUSED"
	tab := desktop(t, s)
	s.stop()
	tab.Until("the page says so", `document.querySelector("#gone").innerText.includes("cannot be reached")`)
	if said := tab.Text(`document.querySelector("#gone-since").innerText`); !strings.HasPrefix(said, "No answer since ") {
		t.Errorf("it says %q", said)
	}
	if title := tab.Text("document.title"); !strings.HasPrefix(title, "no answer · lb1.example.net · tcp-proxy ") {
		t.Errorf("the title is %q", title)
	}
	same(t, "what was known", rows(tab, 2)[:1], []string{"web 5001, 5002 | 3 of 3 alive"})
	tab.Eval(`document.documentElement.dataset.poll = 2000`, nil)
	tab.Until("it waits longer and longer", `/Retrying in ([4-9]|[12][0-9]|30) s/.test(document.querySelector("#gone-text").innerText)`)
	tab.Eval(`document.documentElement.dataset.poll = 50`, nil)

	s.say(later(trouble(), time.Minute))
	s.start()
	tab.Click("#gone-retry")
	tab.Until("it is back", `document.querySelector("#gone").hidden && document.querySelectorAll("#wrong li").length === 6`)

	s.stop()
	tab.Until("it is gone again", `!document.querySelector("#gone").hidden`)
	s.say(later(calm(), 2*time.Minute))
	s.start()
	tab.Until("it comes back by itself", `document.querySelector("#gone").hidden && document.querySelectorAll("#wrong li").length === 0`)
}

// An answer that is none is no answer.
func TestAnswersThatAreNone(t *testing.T) {
	s := serve(t, calm())
	s.expects = "503 (Service Unavailable)"
	tab := desktop(t, s)
	s.code.Store(503)
	tab.Until("the page says what came", `document.querySelector("#gone-text").innerText.includes("it says HTTP 503.")`)
	s.code.Store(0)
	tab.Until("it is well again", `document.querySelector("#gone").hidden`)

	html := []byte("<!doctype html>")
	s.answer.Store(&html)
	tab.Until("the page says that it is no JSON", `document.querySelector("#gone-text").innerText.includes("what it says is no JSON.")`)

	next := later(calm(), time.Minute)
	next.Version++
	s.say(next)
	tab.Until("the page says that it is too old", `document.querySelector("#gone-text").innerText.includes("version 2 of the status, and this page 1: reload the page.")`)
	s.say(calm())
	tab.Until("it is well again", `document.querySelector("#gone").hidden`)
}

// A page that nobody sees does not ask.
func TestHiddenPageDoesNotAsk(t *testing.T) {
	s := serve(t, calm())
	tab := desktop(t, s)
	see := func(hidden string) {
		tab.Eval(`Object.defineProperty(document, "hidden", {configurable: true, value: `+hidden+`}),
			document.dispatchEvent(new Event("visibilitychange")), 0`, nil)
	}
	see("true")
	rest := `new Promise((done) => setTimeout(done, 500)).then(() => 0)` // ten times as long as it waits between two questions
	tab.Eval(rest, nil)
	before := s.polls.Load()
	tab.Eval(rest, nil)
	if asked := s.polls.Load() - before; asked != 0 {
		t.Errorf("it has asked %d times", asked)
	}
	s.say(later(trouble(), time.Minute))
	see("false")
	tab.Until("it asks at once when it is seen", `document.querySelectorAll("#wrong li").length === 6`)
}
