package page

import (
	"slices"
	"testing"

	"tcp-proxy/tests/page/chromium"
)

func TestKeys(t *testing.T) {
	tab := desktop(t, serve(t, trouble()))
	has := func(what, expression string) {
		t.Helper()
		tab.Until(what, expression)
	}
	tab.Press("/")
	has("/ goes to the search", `document.activeElement.id === "search" && document.activeElement.value === ""`)
	tab.Press("w", "e", "b", "/")
	has("what is typed is searched for, / too", `document.activeElement.value === "web/" && document.querySelectorAll("#rows tr").length === 0`)
	tab.Press("Escape")
	has("Escape clears the search", `document.activeElement.value === "" && document.querySelectorAll("#rows tr").length === 9`)
	tab.Press("ArrowDown")
	has("the arrow goes into the rows", `document.activeElement.closest("tr").dataset.key === "app cache"`)
	tab.Press("ArrowDown", "ArrowDown")
	has("and from row to row", `document.activeElement.closest("tr").dataset.key === "app db"`)
	tab.Press("ArrowRight")
	has("right opens the details", `document.querySelector('tr[data-key="details app db"]')`)
	tab.Press("ArrowLeft", "ArrowUp")
	has("left closes them", `!document.querySelector(".details") && document.activeElement.closest("tr").dataset.key === "target cache unix:/run/redis.sock"`)
	tab.Press(" ")
	has("so does the space bar", `document.querySelector('tr[data-key="details target cache unix:/run/redis.sock"]')`)
	tab.Eval(`document.querySelector('tr[data-key="app web"] [data-does=open]').focus(), 0`, nil)
	tab.Press("ArrowLeft")
	has("an app is closed", `!document.querySelector('tr[data-key="target web 10.0.0.1:80"]')`)
	tab.Press("Enter")
	has("and opened", `document.querySelector('tr[data-key="target web 10.0.0.1:80"]') && document.activeElement.getAttribute("aria-expanded") === "true"`)
	tab.Eval(`document.querySelector("thead .name button").focus(), 0`, nil)
	tab.Press("Enter")
	has("a heading sorts", `document.activeElement.closest("th").getAttribute("aria-sort") === "ascending"`)
	tab.Press("Enter")
	has("the other way round", `document.activeElement.closest("th").getAttribute("aria-sort") === "descending"`)
}

// With Tab one gets to everything that can be used, and sees where one is.
func TestTabGoesEverywhere(t *testing.T) {
	tab := desktop(t, serve(t, trouble()))
	var want []string
	tab.Eval(`[...document.querySelectorAll("a, button, input, select, [tabindex='0']")].filter((e) => e.checkVisibility()).map((e, i) => e.dataset.at = String(i))`, &want)
	var got []string
	for range want {
		tab.Press("Tab")
		at := seen(tab)
		if !at.Ring {
			t.Errorf("one does not see that the focus is on %s", at.What)
		}
		got = append(got, at.At)
	}
	if !slices.Equal(got, want) {
		t.Errorf("Tab goes to %v, want %v", got, want)
	}
}

type focus struct {
	At, What string
	Ring     bool
}

func seen(tab *chromium.Tab) (at focus) {
	tab.Helper()
	tab.Eval(`(() => {
		const element = document.activeElement;
		const style = getComputedStyle(element);
		const box = element.getBoundingClientRect();
		const inSight = box.width > 0 && box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight + 1;
		return {
			At: element.dataset.at ?? "", What: element.outerHTML.slice(0, 120),
			Ring: inSight && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
		};
	})()`, &at)
	return at
}
