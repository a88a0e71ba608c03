package page

import (
	"testing"

	"tcp-proxy/tests/harness"
)

// The page of a real proxy shows what really happens to it: sessions and bytes, a target that dies and comes back, the
// end.
func TestRealProxy(t *testing.T) {
	harness.EachEngineAlone(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target, other, address := r.Echo(), r.Echo(), r.Address()
		p := r.Start(harness.Config{
			Admin: &harness.Admin{Listen: []string{address}},
			Apps: []harness.App{
				{Name: "web", Targets: harness.To(target), Probe: &harness.Probe{Interval: "100ms"}},
				{Name: "db", Targets: harness.To(other)},
			},
		})
		tab := desktop(t, &site{url: "http://" + address + "/", expects: "Failed to load resource"})
		same(t, "at first", append(texts(tab, "#wrong h2, #stage"), rows(tab, 2)...), []string{
			"serving", "Nothing is known to be wrong. 2 targets of 2 untested.", "web " + p.AddressOf(0) + " | untested", target.Address + " | untested",
			"db " + p.AddressOf(1) + " | untested", other.Address + " | untested",
		})

		client := p.Dial()
		client.Send([]byte("hello"))
		client.Expect([]byte("hello"))
		tab.Until("the session is shown", `document.querySelector('tr[data-key="app web"] .sessions').innerText === "1"`)
		tab.Click(`tr[data-key="app web"] [data-does=more]`)
		tab.Until("so are its bytes", `document.querySelector("[data-fact=Moved] dd")?.innerText === "5 B down, 5 B up"`)
		client.Close()
		tab.Until("its end is shown", `document.querySelector("[data-fact=Ended] dd")?.innerText === "client_closed 1"`)

		target.Stop()
		r.ExpectRefusal(p.Address())
		tab.Until("the dead target is shown", `document.querySelector("#wrong li")?.innerText.includes("web has no live target.") &&
			document.querySelector("#wrong li")?.innerText.includes("connection refused")`)
		tab.Until("so is when it died", `document.querySelector("#events li.grave")?.innerText.includes("`+target.Address+`")`)
		target.Restart()
		tab.Until("it is back", `document.querySelector("#wrong h2").innerText === "Nothing is known to be wrong. 1 target of 2 untested."`)

		p.Stop()
		tab.Until("the end is shown", `!document.querySelector("#gone").hidden`)
	})
}
