// Package page is the status page: one HTML document with its style and its scripts, as they lie in this folder, embedded
// and served as they are. The page asks api/v1/status, relative to where it is itself, and nothing else.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed index.html *.css *.js *.svg
var files embed.FS

// policy lets the page load its own files and ask its own server. Nothing inline runs, nothing is taken from elsewhere,
// and no text can become HTML: the page has no policy that makes trusted types.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// types are not left to the machine's own table.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// An asset is one file as it is sent.
type asset struct {
	name, kind, tag string
	body            []byte
}

// Handler serves GET and HEAD of the page at /, and of what belongs to it below /page/. What is not there, missing answers.
func Handler(missing http.Handler) http.Handler {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // it is in the binary
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", missing)
	for _, entry := range entries {
		body, err := files.ReadFile(entry.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		a := asset{name: entry.Name(), kind: types[path.Ext(entry.Name())], tag: `"` + hex.EncodeToString(sum[:12]) + `"`, body: body}
		if a.name == "index.html" {
			mux.Handle("GET /{$}", a)
		} else {
			mux.Handle("GET /page/"+a.name, a)
		}
	}
	return mux
}

// ServeHTTP sends the file. Browsers keep it, and ask each time whether it is still the same: after an upgrade no file of
// the page before meets one of the page after.
func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", a.tag)
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.body))
}
