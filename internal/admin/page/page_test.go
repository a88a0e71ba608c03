package page

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func ask(method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler(http.NotFoundHandler()).ServeHTTP(w, r)
	return w.Result()
}

func names(t *testing.T) (all []string) {
	t.Helper()
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestEveryFileIsServed(t *testing.T) {
	for _, name := range names(t) {
		target := "/page/" + name
		if name == "index.html" {
			target = "/"
		}
		answer := ask("GET", target)
		if answer.StatusCode != http.StatusOK || answer.ContentLength == 0 {
			t.Errorf("GET %s: %s", target, answer.Status)
		}
		if got, want := answer.Header.Get("Content-Type"), types[path.Ext(name)]; got != want || want == "" {
			t.Errorf("GET %s: the type is %q, want %q", target, got, want)
		}
		for _, header := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control", "Etag"} {
			if answer.Header.Get(header) == "" {
				t.Errorf("GET %s: no %s", target, header)
			}
		}
		again := ask("GET", target, "If-None-Match", answer.Header.Get("Etag"))
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("GET %s once more: %s", target, again.Status)
		}
		if head := ask("HEAD", target); head.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: %s", target, head.Status)
		}
		if post := ask("POST", target); post.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %s", target, post.Status)
		}
	}
}

func TestNothingElseIsServed(t *testing.T) {
	for _, target := range []string{"/index.html", "/page/", "/page/index.html", "/page/page.go", "/page/none.js", "/favicon.ico"} {
		if answer := ask("GET", target); answer.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", target, answer.Status)
		}
	}
}

// What the policy would stop is not in the files in the first place, and what a file asks for is there: a missing module
// is a blank page.
func TestFilesFitPolicy(t *testing.T) {
	all := names(t)
	var index string
	for _, name := range all {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "index.html" {
			index = string(text)
		}
		for _, never := range []string{`<script>`, `<style`, ` style="`, `innerHTML`, `outerHTML`, `insertAdjacentHTML`, `eval(`, `new Function`, `document.write`, `//cdn`} {
			if strings.Contains(string(text), never) {
				t.Errorf("%s has %s", name, never)
			}
		}
		if handler := regexp.MustCompile(`<[^>]* on[a-z]+=`).Find(text); handler != nil {
			t.Errorf("%s has a handler inline: %s", name, handler)
		}
		for _, found := range regexp.MustCompile(`from '\./([^']+)'`).FindAllSubmatch(text, -1) {
			if !slices.Contains(all, string(found[1])) {
				t.Errorf("%s imports %s, which is not there", name, found[1])
			}
		}
	}
	for _, found := range regexp.MustCompile(`(?:href|src)="page/([^"]+)"`).FindAllStringSubmatch(index, -1) {
		if !slices.Contains(all, found[1]) {
			t.Errorf("index.html loads %s, which is not there", found[1])
		}
	}
	for _, name := range all {
		if name != "index.html" && !strings.Contains(index, `="page/`+name+`"`) {
			t.Errorf("index.html does not load %s ahead", name)
		}
	}
}

// Each source is named, and none lets in what is inline.
func TestPolicy(t *testing.T) {
	got := ask("GET", "/").Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(got, "default-src 'none'; ") {
		t.Errorf("the policy is %q", got)
	}
	for _, never := range []string{"unsafe", "*", "http:", "https:", "data:", "blob:"} {
		if strings.Contains(got, never) {
			t.Errorf("the policy lets in %s: %q", never, got)
		}
	}
	for _, must := range []string{"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(got, must) {
			t.Errorf("the policy does not say %s: %q", must, got)
		}
	}
}
