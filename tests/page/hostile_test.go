package page

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tcp-proxy/internal/proxy"
)

// hostile is what somebody else may get into an answer: names of files, what servers say, what a resolver says.
var hostile = []string{
	`<script>pwned = 1</script>`,
	`<img src=x onerror="pwned = 2"><svg onload=pwned=3>`,
	`"><a href="javascript:pwned=4">x</a>&lt;&#x3c;b&#62;`,
	"new\nline\x00\x1b[31m\u202egnp.exe\u2028",
	"' + pwned + `${pwned = 5}`",
	`__proto__`,
	strings.Repeat("W", 3000),
}

func TestHostileStrings(t *testing.T) {
	s := calm()
	s.Engine, s.Reloads.Problem = hostile[0], strings.Join(hostile, " ")
	s.Names = nil
	for i, h := range hostile {
		s.Names = append(s.Names, proxy.Name{Name: h, Addresses: []string{h}, Problem: h, Since: night})
		bad := target(h)
		kill(&bad, night.Add(-time.Minute), h, 5)
		bad.Failures = map[string]uint64{h: 3}
		bad.Probe = &proxy.Probe{Failed: 1, Last: night, Problem: h}
		a := app(fmt.Sprintf("%d%s", i, h), []string{h}, 1, bad)
		a.Balance, a.Ports[0].Problem, a.Ended[h], a.Refused[h] = h, h, 1, 1
		s.Apps = append(s.Apps, a)
		s.Events = append(s.Events, proxy.Event{Number: uint64(3 + i), Time: night, Kind: h, App: h, Target: h, Text: h, Reason: h})
	}
	for _, width := range []int{1440, 360} {
		tab := open(t, serve(t, s), width, 800)
		tab.Eval(`document.querySelectorAll("#rows [data-does=more]").forEach((b) => b.click()), document.querySelector("#wrong-all").click()`, nil)
		tab.Until("the details are open", `document.querySelectorAll(".details").length === `+fmt.Sprint(2*len(hostile)+9))
		for _, h := range hostile {
			var shown map[string]bool
			tab.Eval(fmt.Sprintf(`(() => {
				const has = (selector) => [...document.querySelectorAll(selector)].some((e) => e.textContent.includes(%s));
				return Object.fromEntries(["#wrong .why", "#names strong", "#names .addresses", "#names .muted", "#events b", "#events p span",
					"tr.app .label", "tr.app .aside", "tr.target .label", "tr.target .why", ".facts dd"].map((s) => [s, has(s)]));
			})()`, quoteJS(h)), &shown)
			for where, is := range shown {
				if !is {
					t.Errorf("%.60q is not in %s as it was sent", h, where)
				}
			}
		}
		var evil []string
		tab.Eval(`[...document.querySelectorAll("body script, body img, body a[href^='javascript'], [onerror], [onload], body b b")].map((e) => e.outerHTML)`, &evil)
		same(t, "elements made of texts", evil, []string{})
		if tab.Text("typeof pwned") != "undefined" {
			t.Errorf("a text was run: pwned is %s", tab.Text("String(pwned)"))
		}
		fits(t, tab, width)
	}
}

// Should a text become code after all, the policy stops it.
func TestPolicyHolds(t *testing.T) {
	s := serve(t, calm())
	tab := desktop(t, s)
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	var tried []string
	tab.Eval(`(async () => {
		const tried = [];
		const refused = (what, how) => { try { how(); tried.push(what + " went"); } catch (e) { tried.push(what + " refused"); } };
		refused("html", () => { document.body.insertAdjacentHTML("beforeend", "<b>x</b>"); });
		refused("script", () => { const s = document.createElement("script"); s.text = "window.ran = 1"; document.body.append(s); });
		refused("address of a script", () => { document.createElement("script").src = "page/x.js"; });
		const image = new Image();
		await new Promise((done) => { image.onload = image.onerror = done; image.src = "`+elsewhere.URL+`/x.png"; });
		await fetch("`+elsewhere.URL+`").then(() => tried.push("fetch went"), () => tried.push("fetch refused"));
		const style = document.createElement("p");
		style.setAttribute("style", "color: rgb(1, 2, 3)");
		document.body.append(style);
		tried.push(getComputedStyle(style).color === "rgb(1, 2, 3)" ? "style went" : "style refused");
		style.remove();
		return tried;
	})()`, &tried)
	same(t, "tried", tried, []string{"html refused", "script refused", "address of a script refused", "fetch refused", "style refused"})
	if n := reached.Load(); n != 0 {
		t.Errorf("another server was asked %d times", n)
	}
	if got := len(tab.Troubles()); got < 5 {
		t.Errorf("the browser complained %d times", got)
	}
	for _, trouble := range tab.Troubles() {
		if !strings.Contains(trouble, "Content Security Policy") && !strings.Contains(trouble, "ContentSecurityPolicy") &&
			!strings.Contains(trouble, "TrustedHTML") && !strings.Contains(trouble, "TrustedScript") {
			t.Errorf("the page complains: %s", trouble)
		}
	}
	tab.Forget()
}
