// Package page tests the status page in a real browser, against a server that says what the test wants it to say.
package page

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcp-proxy/tests/harness"
	"tcp-proxy/tests/page/chromium"
)

// browser is shared; each test has a tab of its own, and nothing in common with others.
var browser *chromium.Browser

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if browser, err = chromium.Start(); errors.Is(err, exec.ErrNotFound) {
		fmt.Println("SKIP: the tests of the status page in a browser:", err)
		return 0
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := harness.Main(m)
	if err := browser.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// open opens the page in a window of that size, or as on a phone if it is narrow. The page then asks every 50 ms. When
// the test ends, the page must have asked nobody else, and not have complained but of what the site expects.
func open(t *testing.T, s *site, width, height int) *chromium.Tab {
	t.Helper()
	tab := browser.Open(t)
	t.Cleanup(func() {
		for _, url := range tab.Requests() {
			if !strings.HasPrefix(url, s.url) {
				t.Errorf("the page asks for %s", url)
			}
		}
		for _, trouble := range tab.Troubles() {
			if s.expects == "" || !strings.Contains(trouble, s.expects) {
				t.Errorf("the page complains: %s", trouble)
			}
		}
	})
	tab.Screen(width, height, width < 500)
	tab.Call("Page.addScriptToEvaluateOnNewDocument", map[string]any{
		"source": `document.addEventListener("readystatechange", () => { document.documentElement.dataset.poll = 50; });`,
	}, nil)
	tab.Go(s.url)
	tab.Until("the first answer is shown", `!document.querySelector("#stage").hidden`)
	return tab
}

// desktop opens the page as on a common screen.
func desktop(t *testing.T, s *site) *chromium.Tab {
	t.Helper()
	return open(t, s, 1440, 900)
}

// texts are the texts of the elements that a selector finds, each on one line.
func texts(tab *chromium.Tab, selector string) []string {
	tab.Helper()
	var all []string
	tab.Eval(fmt.Sprintf(`[...document.querySelectorAll(%q)].map((e) => e.innerText.trim().replace(/\s+/g, " "))`, selector), &all)
	return all
}

// rows are the first cells of the table's rows, and more of them if asked.
func rows(tab *chromium.Tab, cells int) []string {
	tab.Helper()
	var all []string
	tab.Eval(fmt.Sprintf(`[...document.querySelectorAll("#rows tr:not(.details)")].map((row) =>
		[...row.cells].slice(0, %d).map((cell) => cell.innerText).join(" | ").replace(/\s+/g, " ").trim())`, cells), &all)
	return all
}

// same tells of a difference between texts.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// The page comes as one response; beside it there is only the status, and the icon that the browser asks for by itself.
func TestOneResponse(t *testing.T) {
	s := serve(t, calm())
	tab := desktop(t, s)
	asked := map[string]bool{}
	for _, url := range tab.Requests() {
		asked[strings.TrimPrefix(url, s.url)] = true
	}
	delete(asked, "page/icon.svg")
	if len(asked) != 2 || !asked[""] || !asked["api/v1/status"] {
		t.Errorf("the page asks for %v", asked)
	}
}
