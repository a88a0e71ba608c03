package chromium

import (
	"fmt"
	"strconv"
)

// A key as the protocol wants it.
type key struct {
	code int
	text string
}

var keys = map[string]key{
	"Tab": {9, ""}, "Enter": {13, "\r"}, "Escape": {27, ""}, " ": {32, " "},
	"ArrowLeft": {37, ""}, "ArrowUp": {38, ""}, "ArrowRight": {39, ""}, "ArrowDown": {40, ""},
}

// Press presses keys, one after the other, by their names: "a", "Enter", "Tab".
func (t *Tab) Press(names ...string) {
	t.Helper()
	for _, name := range names {
		k, special := keys[name]
		if !special {
			k = key{int(name[0]), name}
		}
		down := map[string]any{"type": "keyDown", "key": name, "windowsVirtualKeyCode": k.code}
		if k.text == "" {
			down["type"] = "rawKeyDown"
		} else {
			down["text"] = k.text
		}
		t.Call("Input.dispatchKeyEvent", down, nil)
		t.Call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": name, "windowsVirtualKeyCode": k.code}, nil)
	}
}

// Type puts a text where the focus is.
func (t *Tab) Type(text string) {
	t.Helper()
	t.Call("Input.insertText", map[string]any{"text": text}, nil)
}

// Click clicks with the mouse on the middle of the first element that the selector finds, which has to be seen there.
func (t *Tab) Click(selector string) {
	t.Helper()
	t.button(t.where(selector))
}

// Point moves the mouse there.
func (t *Tab) Point(selector string) {
	t.Helper()
	t.mouse("mouseMoved", t.where(selector))
}

type place struct {
	X, Y float64
	On   bool // that is what a click would meet
}

func (t *Tab) where(selector string) (at place) {
	t.Helper()
	t.Until(selector+" is there", fmt.Sprintf("document.querySelector(%s)", strconv.Quote(selector)))
	t.Eval(fmt.Sprintf(`(() => {
		const element = document.querySelector(%s);
		element.scrollIntoView({block: "center"});
		const box = element.getBoundingClientRect();
		const [X, Y] = [box.left + box.width / 2, box.top + box.height / 2];
		const met = document.elementFromPoint(X, Y);
		return {X, Y, On: element.contains(met) || met?.contains(element)};
	})()`, strconv.Quote(selector)), &at)
	if !at.On {
		t.Fatalf("%s is covered by something else, or outside", selector)
	}
	return at
}

func (t *Tab) button(at place) {
	t.Helper()
	t.mouse("mousePressed", at)
	t.mouse("mouseReleased", at)
}

func (t *Tab) mouse(what string, at place) {
	t.Helper()
	t.Call("Input.dispatchMouseEvent", map[string]any{"type": what, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
}

// Screen makes the window so large; a phone has touch, and lays out the page as phones do.
func (t *Tab) Screen(width, height int, phone bool) {
	t.Helper()
	scale := 1
	if phone {
		scale = 2
	}
	t.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}, nil)
	t.Call("Emulation.setTouchEmulationEnabled", map[string]any{"enabled": phone}, nil)
}

// Prefer says what the reader prefers, such as "prefers-color-scheme", "dark". What was said before is forgotten.
func (t *Tab) Prefer(pairs ...string) {
	t.Helper()
	features := []map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		features = append(features, map[string]string{"name": pairs[i], "value": pairs[i+1]})
	}
	t.Call("Emulation.setEmulatedMedia", map[string]any{"features": features}, nil)
}
