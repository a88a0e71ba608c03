package page

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"tcp-proxy/tests/page/chromium"
)

func quoteJS(s string) string {
	quoted, _ := json.Marshal(s)
	return string(quoted)
}

// Every text can be read, and every line and icon seen, in both schemes, whatever the page shows.
func TestContrast(t *testing.T) {
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int{1440, 360} {
			s := serve(t, trouble())
			s.expects = "ERR_CONNECTION_REFUSED"
			tab := open(t, s, width, 900)
			tab.Prefer("prefers-color-scheme", scheme)
			tab.Eval(`document.querySelectorAll("#rows [data-does=more]").forEach((b) => b.click())`, nil)
			readable(t, tab, scheme, 80)
			tab.Point("#rows tr")
			readable(t, tab, scheme+", pointed at", 80)
			s.stop()
			tab.Until("the page says that the proxy is gone", `!document.querySelector("#gone").hidden`)
			readable(t, tab, scheme+", gone", 80)
			s.start()
			s.say(later(calm(), time.Minute))
			tab.Until("it is back", `document.querySelector("#gone").hidden && document.querySelector("#wrong.fine")`)
			readable(t, tab, scheme+", calm", 60)
		}
	}
}

func readable(t *testing.T, tab *chromium.Tab, when string, least int) {
	t.Helper()
	var found struct {
		Checked int
		Weak    []string
	}
	tab.Eval(contrast, &found)
	for _, weak := range found.Weak {
		t.Errorf("%s: %s", when, weak)
	}
	if found.Checked < least {
		t.Errorf("%s: only %d texts were looked at", when, found.Checked)
	}
}

// contrast looks at all that is seen, as WCAG 2 defines contrast: 4.5 for texts, 3 for what is drawn.
const contrast = `(() => {
	const rgba = (color) => {
		const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
		return [r, g, b, a];
	};
	const over = ([r, g, b, a], below) => [r * a + below[0] * (1 - a), g * a + below[1] * (1 - a), b * a + below[2] * (1 - a), 1];
	const ground = (element) => {
		const layers = [];
		for (let e = element; e; e = e.parentElement) {
			const layer = rgba(getComputedStyle(e).backgroundColor);
			layers.push(layer);
			if (layer[3] === 1) break;
		}
		return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
	};
	const light = (color) => {
		const [r, g, b] = color.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const weak = [];
	let checked = 0;
	const check = (what, color, element, least) => {
		const below = ground(element);
		const [a, b] = [light(over(rgba(color), below)), light(below)].sort((x, y) => y - x);
		checked++;
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < least) weak.push(what + " has a contrast of " + ratio.toFixed(2));
	};
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const element = walk.currentNode.parentElement;
		if (!walk.data && !walk.currentNode.data.trim()) continue;
		if (!element.checkVisibility({visibilityProperty: true}) || element.closest("option, .unseen, noscript")) continue;
		if (getComputedStyle(element).opacity !== "1") weak.push(element.outerHTML.slice(0, 80) + " is translucent");
		check(JSON.stringify(walk.currentNode.data.slice(0, 40)) + " in " + element.tagName, getComputedStyle(element).color, element, 4.5);
	}
	for (const path of document.querySelectorAll(".spark path, .icon")) {
		if (!path.checkVisibility()) continue;
		const style = getComputedStyle(path);
		check(path.outerHTML.slice(0, 60), path.matches(".icon") ? style.fill : style.stroke, path.parentElement, 3);
	}
	const search = document.querySelector("#search");
	check("the placeholder", getComputedStyle(search, "::placeholder").color, search, 4.5);
	return {Checked: checked, Weak: weak};
})()`

// On a phone the page is as wide as the screen, and fingers meet what they aim at.
func TestPhone(t *testing.T) {
	for _, width := range []int{320, 360} {
		tab := open(t, serve(t, trouble()), width, 740)
		fits(t, tab, width)
		tab.Eval(`document.querySelectorAll("#rows [data-does=more]").forEach((b) => b.click())`, nil)
		fits(t, tab, width)
		var small []string
		tab.Eval(`[...document.querySelectorAll("button, input, select")].filter((e) => e.checkVisibility()).filter((e) => {
			const {width, height} = e.getBoundingClientRect();
			return width < 24 || height < 24;
		}).map((e) => e.outerHTML.slice(0, 100))`, &small)
		same(t, "too small for a finger", small, []string{})
		tab.Eval(`document.querySelectorAll("#rows [data-does=more]").forEach((b) => b.click())`, nil)
		var choices []string
		tab.Eval(`[...document.querySelectorAll("#states button")].filter((e) => e.checkVisibility()).map((e) => e.innerText.trim())`, &choices)
		same(t, "choices that have targets", choices, []string{"all 6", "alive 3", "dead 2", "draining 1"})
		same(t, "a card", texts(tab, `tr[data-key="app cache"]`), []string{"cache unix:/run/cache.sock dead 40 s 200 – – – –"})
		tab.Eval(`(() => { const sort = document.querySelector("#sort"); sort.value = "name"; sort.dispatchEvent(new Event("change")); })()`, nil)
		same(t, "sorted by name", texts(tab, "tr.app .label"), []string{"cache", "db", "web"})
		tab.Click("#turn")
		same(t, "turned round", texts(tab, "tr.app .label"), []string{"web", "db", "cache"})
	}
}

// Large figures fit windows of all sizes.
func TestEveryWindow(t *testing.T) {
	many := crowd(200, 10)
	many.Apps[7].Active, many.Workers.Busy, many.Workers.Max = 1_234_567, 1_234_567, 2_000_000
	s := serve(t, many)
	tab := desktop(t, s)
	for i, by := range []time.Duration{2 * time.Second, 4 * time.Second} {
		many = later(many, by)
		many.Apps[7].Download += 123_456_789_012
		many.Apps[7].Upload += 123_456_789_012
		s.say(many)
		tab.Until("there are rates", `document.querySelector('tr[data-key="app app-0007"] .download').innerText === "`+[]string{"61.7", "30.9"}[i]+` GB/s"`)
	}
	for _, width := range []int{1920, 1440, 1280, 1150, 1024, 901, 900, 820, 721, 720, 600, 414, 360, 320} {
		tab.Screen(width, 800, width < 500)
		fits(t, tab, width)
	}
}

// The state of an app with untested targets stands in one line, beside its icon, on the screen of a laptop.
func TestStateInOneLine(t *testing.T) {
	s := calm()
	s.Apps[0].Targets[2].Untested = true
	tab := open(t, serve(t, s), 1280, 800)
	var heights []float64
	tab.Eval(`["app web", "target web 10.0.0.1:80"].map((key) => document.querySelector("tr[data-key='" + key + "'] td.state").getBoundingClientRect().height)`, &heights)
	if heights[0] != heights[1] {
		t.Errorf("the row of the app is %v high, that of a target %v", heights[0], heights[1])
	}
}

// A window of a middling size leaves out columns, but no lines of the figures or the details.
func TestMiddlingWindow(t *testing.T) {
	tab := open(t, serve(t, trouble()), 1024, 768)
	fits(t, tab, 1024)
	tab.Click("#by-target")
	tab.Click(`tr[data-key="target web 10.0.0.1:80"] [data-does=more]`)
	tab.Click("#by-app")
	tab.Click(`tr[data-key="app web"] [data-does=more]`)
	fits(t, tab, 1024)
	var hidden []string
	tab.Eval(`[...document.querySelectorAll("#figures path, .details path")].filter((e) => !e.checkVisibility()).map((e) => e.outerHTML)`, &hidden)
	same(t, "lines that are not seen", hidden, []string{})
	var columns []string
	tab.Eval(`[...document.querySelectorAll("thead th")].filter((e) => e.checkVisibility()).map((e) => e.className)`, &columns)
	same(t, "columns", columns, []string{"name", "state", "since", "why", "sessions", "fresh", "connect", "more"})
}

// fits checks that nothing is wider than the screen. A phone would zoom out to show the whole of a page that is.
func fits(t *testing.T, tab *chromium.Tab, width int) {
	t.Helper()
	var wide []string
	tab.Eval(fmt.Sprintf(`(() => {
		const outside = ({width, left, right}) => width > 0 && (right > %[1]d + 0.5 || left < -0.5);
		const wide = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest(".unseen, .skip"))
			.filter((e) => outside(e.getBoundingClientRect())).map((e) => e.outerHTML.slice(0, 100));
		wide.push(...[...document.querySelectorAll("#figures dl > div, th, td, li, .tools, #pager")].filter((e) => e.scrollWidth > e.clientWidth + 1)
			.map((e) => e.outerHTML.slice(0, 100) + " holds " + e.scrollWidth + " in " + e.clientWidth));
		const whole = Math.max(document.documentElement.scrollWidth, innerWidth);
		return whole > %[1]d ? ["the page is " + whole + " wide", ...wide] : wide;
	})()`, width), &wide)
	same(t, fmt.Sprintf("too wide for a screen of %d", width), wide, []string{})
}

// Nothing moves, so there is nothing to turn off for who prefers that.
func TestNothingMoves(t *testing.T) {
	tab := desktop(t, serve(t, trouble()))
	tab.Prefer("prefers-reduced-motion", "reduce")
	var moving []string
	tab.Eval(`[...document.querySelectorAll("*")].filter((e) => {
		const style = getComputedStyle(e);
		return style.animationName !== "none" || style.transitionDuration !== "0s" || style.scrollBehavior === "smooth";
	}).map((e) => e.outerHTML.slice(0, 100)).concat(document.getAnimations().map(String))`, &moving)
	same(t, "moving", moving, []string{})
}
