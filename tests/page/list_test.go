package page

import (
	"testing"
	"time"
)

func TestSearch(t *testing.T) {
	tab := desktop(t, serve(t, trouble()))
	for _, c := range []struct {
		search string
		rows   []string
		page   string
	}{
		{"web", []string{"web 5001, 5002", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.1:80"}, "1 app, 3 targets"},
		{"DEAD", []string{"cache unix:/run/cache.sock", "unix:/run/redis.sock", "web 5001, 5002", "10.0.0.2:80"}, "2 apps, 2 targets"},
		{"db.internal 10.0.1.2", []string{"db 127.0.0.1:5432", "db.internal:5432/10.0.1.2"}, "1 app, 1 target"},
		{"web 0.3", []string{"web 5001, 5002", "10.0.0.3:80"}, "1 app, 1 target"},
		{"refused", []string{"web 5001, 5002", "10.0.0.2:80"}, "1 app, 1 target"},
		{"5002", []string{"web 5001, 5002", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.1:80"}, "1 app, 3 targets"},
		{"app:db", []string{"db 127.0.0.1:5432", "db.internal:5432/10.0.1.1", "db.internal:5432/10.0.1.2"}, "1 app, 2 targets"},
		{"app:d", []string{}, ""},
		{"<b>", []string{}, ""},
	} {
		tab.Eval(`document.querySelector("#search").select(), document.querySelector("#search").focus(), 0`, nil)
		tab.Type(c.search)
		same(t, "rows for "+c.search, rows(tab, 1), c.rows)
		if c.page != "" {
			same(t, "count for "+c.search, texts(tab, "#page-text"), []string{c.page})
		} else {
			same(t, "text for "+c.search, texts(tab, "#nothing"), []string{"Nothing matches."})
		}
		tab.Eval(`document.querySelector("#search").value = "", document.querySelector("#search").dispatchEvent(new Event("input")), 0`, nil)
	}
}

func TestStates(t *testing.T) {
	tab := desktop(t, serve(t, trouble()))
	same(t, "states", texts(tab, "#states button"), []string{"all 6", "alive 3", "untested 0", "dead 2", "draining 1", "down 0"})
	tab.Click(`#states [data-state="draining"]`)
	same(t, "rows", rows(tab, 1), []string{"web 5001, 5002", "10.0.0.3:80"})
	same(t, "pressed", texts(tab, `#states [aria-pressed="true"]`), []string{"draining 1"})
	tab.Click(`#states [data-state="down"]`)
	same(t, "rows", rows(tab, 1), []string{})
	tab.Click(`#states [data-state=""]`)
	if got := len(rows(tab, 1)); got != 9 {
		t.Errorf("%d rows are shown, want 9", got)
	}
}

func TestSort(t *testing.T) {
	s := calm()
	for i, active := range []int64{5, 50, 20} {
		s.Apps[0].Targets[i].Active = active
		s.Apps[0].Targets[i].Connect = []float64{0.002, 0, 0.001}[i]
		s.Apps[0].Targets[i].Since = night.Add(-time.Duration([]int{3, 1, 2}[i]) * time.Hour)
	}
	s.Apps[0].Targets[1].Name = "10.0.0.10:80"
	tab := desktop(t, serve(t, s))
	tab.Click("#by-target")
	all := [3]string{"10.0.0.1:80 web", "10.0.0.10:80 web", "10.0.0.3:80 web"}
	for _, c := range []struct {
		column, direction string
		want              [3]int // of the targets of web
	}{
		{"sessions", "descending", [3]int{1, 2, 0}},
		{"sessions", "ascending", [3]int{0, 2, 1}},
		{"name", "ascending", [3]int{0, 2, 1}},
		{"name", "descending", [3]int{1, 2, 0}},
		{"since", "descending", [3]int{1, 2, 0}},
		{"since", "ascending", [3]int{0, 2, 1}},
		{"connect", "descending", [3]int{0, 2, 1}}, // what is not known comes last
		{"connect", "ascending", [3]int{2, 0, 1}},
		{"state", "descending", [3]int{0, 1, 2}}, // as configured
	} {
		tab.Click("thead ." + c.column + " button")
		same(t, "sorted", []string{tab.Text(`[...document.querySelectorAll("[aria-sort]")].map((e) => e.className + " " + e.getAttribute("aria-sort")).join()`)}, []string{c.column + " " + c.direction})
		var got []string
		for _, row := range rows(tab, 1) {
			for _, one := range all {
				if row == one {
					got = append(got, row)
				}
			}
		}
		same(t, c.column+" "+c.direction, got, []string{all[c.want[0]], all[c.want[1]], all[c.want[2]]})
	}
	tab.Click("#by-app")
	tab.Click("thead .sessions button")
	same(t, "apps and their targets", rows(tab, 1), []string{
		"web 5001, 5002", "10.0.0.10:80", "10.0.0.3:80", "10.0.0.1:80", "cache unix:/run/cache.sock", "unix:/run/redis.sock",
		"db 127.0.0.1:5432", "db.internal:5432/10.0.1.1", "db.internal:5432/10.0.1.2",
	})
}

func TestProblemLeadsToItsRows(t *testing.T) {
	tab := desktop(t, serve(t, trouble()))
	tab.Click("#wrong li:nth-child(4) button")
	same(t, "rows", rows(tab, 1), []string{"web 5001, 5002", "10.0.0.2:80"})
	tab.Until("the list has the focus and is in sight", `document.activeElement.id === "list" && document.querySelector("#list").getBoundingClientRect().top >= 0`)
}

// What the reader looks at is in the address of the page.
func TestViewSurvivesReload(t *testing.T) {
	s := serve(t, crowd(300, 10))
	tab := desktop(t, s)
	tab.Click("#by-target")
	tab.Click("thead .sessions button")
	tab.Click("thead .sessions button")
	tab.Eval(`document.querySelector("#search").focus(), 0`, nil)
	tab.Type("10.0.")
	tab.Click("#page-after")
	before := rows(tab, 2)
	if len(before) != 100 {
		t.Fatalf("%d rows are shown, want 100", len(before))
	}
	same(t, "page", texts(tab, "#page-text"), []string{"101–200 of 2,500 rows · 250 apps, 2,500 targets"})
	same(t, "address", []string{tab.Text("location.hash")}, []string{"#q=10.0.&by=target&sort=sessions&direction=ascending&page=2"})
	tab.Eval(`window.old = true, 0`, nil)
	tab.Call("Page.reload", nil, nil)
	tab.Until("it is shown again", `!window.old && document.readyState === "complete" && document.querySelectorAll("#rows tr").length === 100`)
	same(t, "rows", rows(tab, 2), before)
	same(t, "search", []string{tab.Text(`document.querySelector("#search").value`)}, []string{"10.0."})
}

// Rows do not run away from under the pointer, or from what somebody has marked.
func TestRowsKeepTheirPlaces(t *testing.T) {
	s := serve(t, calm())
	tab := desktop(t, s)
	tab.Click("#by-target")
	tab.Click("thead .sessions button")
	first := func(name string) string {
		return `document.querySelector("#rows tr").dataset.key === "target web ` + name + `"`
	}
	busier := func(i int, by time.Duration) {
		next := later(calm(), by)
		next.Apps[0].Targets[i].Active = 1000 + int64(i)
		s.say(next)
	}
	tab.Until("the first is first", first("10.0.0.1:80"))
	tab.Point(`#rows tr`)
	busier(2, 2*time.Second)
	tab.Until("its sessions are shown", `document.querySelector('tr[data-key="target web 10.0.0.3:80"] .sessions').innerText === "1,002"`)
	tab.Until("it has its place still", first("10.0.0.1:80"))

	tab.Eval(`window.clock = performance.now.bind(performance), performance.now = () => clock() + 60000, 0`, nil)
	tab.Until("it is first when nobody has touched the rows for long", first("10.0.0.3:80"))

	tab.Eval(`getSelection().selectAllChildren(document.querySelector("#rows tr .label")), 0`, nil)
	busier(1, 4*time.Second)
	tab.Until("its sessions are shown", `document.querySelector('tr[data-key="target web 10.0.0.2:80"] .sessions').innerText === "1,001"`)
	tab.Until("the marked row has its place", first("10.0.0.3:80")+` && getSelection().toString() === "10.0.0.3:80"`)
	tab.Eval(`getSelection().removeAllRanges(), 0`, nil)
	tab.Until("the busiest is first again", first("10.0.0.2:80"))
}
