package chromium

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"tcp-proxy/internal/testkit"
)

// Tab is one page, in a context of its own: nothing is shared with other tabs.
type Tab struct {
	testing.TB
	browser *Browser
	session string

	mu       sync.Mutex // guards what follows
	requests []string
	troubles []string
}

// Open opens a tab on about:blank. It is closed when the test ends.
func (b *Browser) Open(t testing.TB) *Tab {
	t.Helper()
	var context struct {
		ID string `json:"browserContextId"`
	}
	var target struct {
		ID string `json:"targetId"`
	}
	var session struct {
		ID string `json:"sessionId"`
	}
	tab := &Tab{TB: t, browser: b}
	tab.must(b.call("", "Target.createBrowserContext", nil, &context))
	t.Cleanup(func() {
		if err := b.call("", "Target.disposeBrowserContext", map[string]any{"browserContextId": context.ID}, nil); err != nil {
			t.Error(err)
		}
	})
	tab.must(b.call("", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": context.ID, "width": 1440, "height": 900}, &target))
	tab.must(b.call("", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &session))
	tab.session = session.ID
	b.mu.Lock()
	b.tabs[tab.session] = tab
	b.mu.Unlock()
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.tabs, tab.session)
	})
	for _, domain := range []string{"Page", "Runtime", "Log", "Network", "Audits"} {
		tab.Call(domain+".enable", nil, nil)
	}
	tab.Call("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil)
	return tab
}

// happened notes what the page has asked for, and whatever is wrong with it. Others call it, until the tab is closed.
func (t *Tab) happened(method string, params json.RawMessage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch method {
	case "Network.requestWillBeSent":
		var e struct{ Request struct{ URL string } }
		if json.Unmarshal(params, &e) == nil {
			t.requests = append(t.requests, e.Request.URL)
		}
	case "Runtime.exceptionThrown", "Audits.issueAdded":
		t.troubles = append(t.troubles, fmt.Sprintf("%s: %s", method, params))
	case "Runtime.consoleAPICalled":
		var e struct{ Type string }
		if json.Unmarshal(params, &e) != nil || slices.Contains([]string{"error", "warning", "assert"}, e.Type) {
			t.troubles = append(t.troubles, fmt.Sprintf("%s: %s", method, params))
		}
	case "Log.entryAdded":
		var e struct {
			Entry struct{ Level, Source, Text, URL string }
		}
		if json.Unmarshal(params, &e) != nil || e.Entry.Level == "error" || e.Entry.Level == "warning" {
			t.troubles = append(t.troubles, fmt.Sprintf("%s: %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	}
}

// Requests are the addresses that the page has asked for so far.
func (t *Tab) Requests() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.requests)
}

// Troubles are the errors, warnings, exceptions and broken policies of the page so far.
func (t *Tab) Troubles() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.troubles)
}

// Call calls a method of the DevTools protocol.
func (t *Tab) Call(method string, params, result any) {
	t.Helper()
	t.must(t.browser.call(t.session, method, params, result))
}

// Go opens an address.
func (t *Tab) Go(url string) {
	t.Helper()
	var said struct{ ErrorText string }
	t.Call("Page.navigate", map[string]any{"url": url}, &said)
	if said.ErrorText != "" {
		t.Fatalf("%s: %s", url, said.ErrorText)
	}
	t.Until("the page has been read", `document.readyState === "complete" && location.href !== "about:blank"`)
}

// Eval gives what an expression gives; a promise is waited for. into may be nil.
func (t *Tab) Eval(expression string, into any) {
	t.Helper()
	t.must(t.evaluate(expression, into))
}

// errThrown is an expression's own fault.
var errThrown = errors.New("it throws")

func (t *Tab) evaluate(expression string, into any) error {
	var said struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	params := map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}
	if err := t.browser.call(t.session, "Runtime.evaluate", params, &said); err != nil {
		return err
	}
	if e := said.ExceptionDetails; e != nil {
		return fmt.Errorf("%s\n%w: %s %s", expression, errThrown, e.Text, e.Exception.Description)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(said.Result.Value, into); err != nil {
		return fmt.Errorf("%s gives %q: %w", expression, said.Result.Value, err)
	}
	return nil
}

// Text is an expression's string.
func (t *Tab) Text(expression string) (text string) {
	t.Helper()
	t.Eval(expression, &text)
	return text
}

// Until waits until an expression is true. While the tab goes from one page to another, none is.
func (t *Tab) Until(what, expression string) {
	t.Helper()
	testkit.Eventually(t, what, func() (is bool) {
		if err := t.evaluate("Boolean("+expression+")", &is); errors.Is(err, errThrown) {
			t.Fatal(err)
		}
		return is
	}, func() any {
		return fmt.Sprintf("%s\nThe page:\n%.3000s\n%s", expression, t.Text("document.body.innerText"), strings.Join(t.Troubles(), "\n"))
	})
}

// Picture writes what is seen into a PNG file.
func (t *Tab) Picture(file string) {
	t.Helper()
	var said struct{ Data string }
	t.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &said)
	data, err := base64.StdEncoding.DecodeString(said.Data)
	t.must(err)
	t.must(os.WriteFile(file, data, 0o644))
}

func (t *Tab) must(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Forget forgets the requests and troubles so far, which the test has expected.
func (t *Tab) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests, t.troubles = nil, nil
}
