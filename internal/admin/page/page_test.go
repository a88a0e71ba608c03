package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func ask(method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler(http.NotFoundHandler(), func(r *http.Request) bool { return r.Header.Get("Accept-Encoding") == "gzip" }).ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, target string) string {
	t.Helper()
	body, err := io.ReadAll(ask("GET", target).Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestWhatIsServed(t *testing.T) {
	for target, kind := range map[string]string{"/": "text/html; charset=utf-8", "/page/icon.svg": "image/svg+xml"} {
		answer := ask("GET", target)
		if answer.StatusCode != http.StatusOK || answer.ContentLength == 0 {
			t.Errorf("GET %s: %s", target, answer.Status)
		}
		for header, want := range map[string]string{
			"Content-Type": kind, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := answer.Header.Get(header); got != want {
				t.Errorf("GET %s: %s is %q, want %q", target, header, got, want)
			}
		}
		tag := answer.Header.Get("Etag")
		if again := ask("GET", target, "If-None-Match", tag); tag == "" || again.StatusCode != http.StatusNotModified || again.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("GET %s once more, with the tag %s: %s", target, tag, again.Status)
		}
		if head := ask("HEAD", target); head.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: %s", target, head.Status)
		}
		if post := ask("POST", target); post.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %s", target, post.Status)
		}
	}
}

// A tunnel carries a third of the page, whose tag then differs from that of the plain one.
func TestGzip(t *testing.T) {
	plain, squeezed := ask("GET", "/"), ask("GET", "/", "Accept-Encoding", "gzip")
	if plain.Header.Get("Content-Encoding") != "" || squeezed.Header.Get("Content-Encoding") != "gzip" || squeezed.Header.Get("Vary") != "Accept-Encoding" || plain.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v, %v", plain.Header, squeezed.Header)
	}
	short, err := io.ReadAll(squeezed.Body)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(short))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(z)
	if err != nil || string(whole) != bodyOf(t, "/") || len(short) > len(whole)/2 {
		t.Errorf("%d bytes of %d, %v", len(short), len(whole), err)
	}
	t.Logf("%d bytes, %d with gzip", len(whole), len(short))
	tag := squeezed.Header.Get("Etag")
	if tag == plain.Header.Get("Etag") || ask("GET", "/", "If-None-Match", tag, "Accept-Encoding", "gzip").StatusCode != http.StatusNotModified {
		t.Errorf("the tags are %s and %s", tag, plain.Header.Get("Etag"))
	}
}

func TestNothingElseIsServed(t *testing.T) {
	for _, target := range []string{"/index.html", "/page/", "/page/index.html", "/page/page.go", "/page/main.js", "/page/style.css", "/favicon.ico"} {
		if answer := ask("GET", target); answer.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", target, answer.Status)
		}
	}
}

// The page needs no other response to look and work as it should: only the icon of the tab is one.
func TestOneResponse(t *testing.T) {
	text := bodyOf(t, "/")
	loaded := regexp.MustCompile(`<(?:link|script|img|iframe)[^>]* (?:href|src)="([^"]+)"`).FindAllStringSubmatch(text, -1)
	if len(loaded) != 1 || loaded[0][1] != "page/icon.svg" {
		t.Errorf("the page loads %q, want its icon only", loaded)
	}
	for _, never := range []string{"@import", "url(", "from './", "import("} {
		if strings.Contains(text, never) {
			t.Errorf("the page has %s", never)
		}
	}
	names, err := fs.Glob(files, "*.js")
	if err != nil || len(names) < 10 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if first, _, _ := strings.Cut(read(name), "\n"); !strings.Contains(text, first) {
			t.Errorf("%s is not in the page: no module imports it", name)
		}
	}
}

// The policy names the inline style and the inline script by their hashes, and lets in nothing else.
func TestPolicy(t *testing.T) {
	policy, text := ask("GET", "/").Header.Get("Content-Security-Policy"), bodyOf(t, "/")
	if !strings.HasPrefix(policy, "default-src 'none'; ") {
		t.Errorf("the policy is %q", policy)
	}
	for _, never := range []string{"unsafe", "*", "http:", "https:", "data:", "blob:"} {
		if strings.Contains(policy, never) {
			t.Errorf("the policy lets in %s: %q", never, policy)
		}
	}
	for _, must := range []string{"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy, must) {
			t.Errorf("the policy does not say %s: %q", must, policy)
		}
	}
	for _, tag := range []string{"style", "script"} {
		inline := regexp.MustCompile(`(?s)<`+tag+`[^>]*>(.*?)</`+tag+`>`).FindAllStringSubmatch(text, -1)
		if len(inline) != 1 {
			t.Fatalf("%d elements %s", len(inline), tag)
		}
		sum := sha256.Sum256([]byte(inline[0][1]))
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(policy, want) {
			t.Errorf("the policy does not say %s: %q", want, policy)
		}
	}
}

// The policy stops styles and handlers in attributes, so the files have none, nor anything that makes HTML of a text. What
// would end the script or change its hash on the way through the HTML parser is not there either.
func TestFilesFitPolicy(t *testing.T) {
	names, err := fs.Glob(files, "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text := read(name)
		never := []string{` style="`, `innerHTML`, `outerHTML`, `insertAdjacentHTML`, `eval(`, `new Function`, `document.write`, `//cdn`, "\r"}
		if strings.HasSuffix(name, ".js") || strings.HasSuffix(name, ".css") {
			never = append(never, "</script", "</style", "<!--")
		}
		for _, never := range never {
			if strings.Contains(text, never) {
				t.Errorf("%s has %q", name, never)
			}
		}
		if handler := regexp.MustCompile(`<[^>]* on[a-z]+=`).FindString(text); handler != "" {
			t.Errorf("%s has a handler inline: %s", name, handler)
		}
	}
}

func TestLink(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	got := link(fstest.MapFS{
		"main.js": file("// Main.\n\nimport { f, C } from './a.js';\nimport { k } from './b.js';\n\nf(k, C);\n"),
		"a.js":    file("import { k } from './b.js';\n\nconst own = k;\nexport function f() { return own; }\nexport class C {}\n"),
		"b.js":    file("export const k = 1;\n"),
	}, "main")
	want := []string{
		"const $b = (() => {", "const k = 1;", "return { k };", "})();",
		"const $a = (() => {", "const { k } = $b;", "", "const own = k;", "function f() { return own; }", "class C {}", "return { f, C };", "})();",
		"const $main = (() => {", "// Main.", "", "const { f, C } = $a;", "const { k } = $b;", "", "f(k, C);", "return {  };", "})();", "",
	}
	if !slices.Equal(strings.Split(got, "\n"), want) {
		t.Errorf("linked:\n%s", got)
	}
	for what, modules := range map[string]fstest.MapFS{
		"a cycle":                 {"main.js": file("import { f } from './main.js';\n")},
		"an import of all":        {"main.js": file("import * as f from './a.js';\n"), "a.js": file("")},
		"an export of a variable": {"main.js": file("export let f = 1;\n")},
		"a module that is absent": {"main.js": file("import { f } from './a.js';\n")},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is linked", what)
				}
			}()
			link(modules, "main")
		}()
	}
}
