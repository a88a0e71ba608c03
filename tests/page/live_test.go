package page

import (
	"testing"
	"time"

	"tcp-proxy/internal/proxy"
)

// What changes is shown, in the elements that were there.
func TestFollowsChanges(t *testing.T) {
	s := serve(t, calm())
	tab := desktop(t, s)
	tab.Eval(`window.before = document.querySelector('tr[data-key="target web 10.0.0.2:80"]'), 0`, nil)

	s.say(later(trouble(), 2*time.Second))
	tab.Until("the problems are shown", `document.querySelectorAll("#wrong li").length === 6`)
	tab.Until("it is the same row", `before.isConnected && before.matches(".grave") && before.innerText.includes("connection refused")`)
	tab.Until("the dead one of its app has come first", `before.previousSibling.dataset.key === "app web"`)

	s.say(later(calm(), 2*time.Minute)) // being at a limit stays a problem for one
	tab.Until("all is well again", `document.querySelector("#wrong h2").innerText === "Nothing is wrong."`)
	tab.Until("it is still the same row", `before.isConnected && before.matches(".fine") && before.innerText.includes("alive")`)

	gone := later(calm(), 3*time.Minute)
	gone.Apps = gone.Apps[1:]
	s.say(gone)
	tab.Until("an app that is gone is shown no more", `!before.isConnected && document.querySelectorAll("#rows tr").length === 5`)
}

// Rates are the growth between two answers, by the proxy's own clock. A proxy that starts anew counts from zero.
func TestRates(t *testing.T) {
	s := serve(t, calm())
	tab := desktop(t, s)
	row := func() []string { return texts(tab, `tr[data-key="app web"] :is(.fresh, .download, .upload)`) }
	same(t, "after one answer", row(), []string{"–", "–", "–"})

	grown := func(by time.Duration, times int64) proxy.Snapshot {
		next := later(calm(), by)
		web := &next.Apps[0]
		web.Download += times * 3_000_000
		web.Upload += times * 2_500
		web.Targets[0].Download += times * 2_000_000
		web.Targets[0].Upload += times * 500
		web.Ended["client_closed"] += uint64(times) * 20
		web.Ended["limited"] += uint64(times) * 8
		web.Refused["max_sessions"] = uint64(times) * 8
		return next
	}
	s.say(grown(2*time.Second, 1))
	tab.Until("there are rates", `document.querySelector('tr[data-key="app web"] .fresh').innerText !== "–"`)
	same(t, "after two seconds", row(), []string{"10/s", "1.5 MB/s", "1.25 kB/s"})
	same(t, "a target", texts(tab, `tr[data-key="target web 10.0.0.1:80"] :is(.download, .upload)`), []string{"1 MB/s", "250 B/s"})
	same(t, "figures", texts(tab, "#figure-fresh, #figure-download, #figure-upload"), []string{"New sessions 10/s 4/s refused", "Download 1.5 MB/s to clients", "Upload 1.25 kB/s to targets"})
	same(t, "problems", texts(tab, "#wrong li"), []string{"web is at a limit. It refuses 4/s. So far: max_sessions 8. show"})

	s.say(grown(6*time.Second, 2))
	tab.Until("the rates are of the last four seconds", `document.querySelector('tr[data-key="app web"] .fresh').innerText === "5/s"`)
	pieces := func() (n [2]int) {
		tab.Eval(`["download", "sessions"].map((id) => document.querySelector("#figure-" + id + " path").getAttribute("d").split("M").length - 1)`, &n)
		return n
	}
	before := pieces()

	anew := later(calm(), 8*time.Second)
	anew.Started = night.Add(7 * time.Second)
	anew.Apps[0].Ended, anew.Apps[0].Download, anew.Apps[0].Upload = map[string]uint64{"client_closed": 5}, 100, 50
	s.say(anew)
	tab.Until("it has started anew", `document.querySelector("#node").innerText.includes("up 1 s")`)
	same(t, "after a start", row(), []string{"–", "–", "–"})

	for i, by := range []time.Duration{10 * time.Second, 12 * time.Second} {
		anew = later(anew, by-anew.Taken.Sub(night))
		anew.Apps[0].Download += 2000
		s.say(anew)
		tab.Until("there are rates again", `document.querySelector('tr[data-key="app web"] .download').innerText === "1 kB/s" &&
			document.querySelector("#node").innerText.includes("up `+[]string{"3 s", "5 s"}[i]+`")`)
	}
	if after := pieces(); before != [2]int{1, 1} || after != [2]int{2, 2} {
		t.Errorf("the lines had %v pieces and have %v, want 1 and 2 each: they are broken where the proxy started", before, after)
	}
}

// Nothing is made anew for an answer that says the same, not even for thousands of targets.
func TestNothingIsMadeAnew(t *testing.T) {
	s := serve(t, crowd(1000, 10))
	tab := desktop(t, s)
	tab.Click("#by-target")
	tab.Until("the targets are shown", `document.querySelectorAll("#rows tr").length === 100`)
	tab.Eval(`window.made = 0, new MutationObserver((all) => { made += all.filter((m) => m.type === "childList").length; })
		.observe(document.body, {childList: true, subtree: true}), 0`, nil)
	for i := range 3 {
		s.say(later(crowd(1000, 10), time.Duration(i+1)*time.Hour))
		tab.Until("it is shown", `document.querySelector("#node").innerText.includes("up 2 d `+[]string{"5", "6", "7"}[i]+` h")`)
	}
	var made int
	tab.Eval(`made`, &made)
	if made != 0 {
		t.Errorf("%d times elements or texts were put in or taken out", made)
	}
}
