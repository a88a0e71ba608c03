// Package page is the status page. Its document, styles and scripts are files of this folder, and are sent as one response:
// the style and the script are inline. Only the icon of the browser's tab is another one. The page asks api/v1/…, relative to
// its own address, and nothing else.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

//go:embed index.html *.css *.js icon.svg
var files embed.FS

// policyFormat lets the page run the script and use the style with these hashes (CSP Level 3, 2.3.1), and ask its own server.
// No other script or style runs, inline or not, nothing is loaded from elsewhere, and no text can become HTML: the page has no
// policy that makes trusted types.
const policyFormat = "default-src 'none'; script-src '%s'; style-src '%s'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// An asset is a file as it is sent.
type asset struct {
	name, kind, policy string
	sum                string // of body
	body, gzipped      []byte
}

func newAsset(name, kind, policy string, body []byte) asset {
	sum := sha256.Sum256(body)
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	w.Write(body)                                         // into memory, which cannot fail
	w.Close()
	return asset{name: name, kind: kind, policy: policy, sum: hex.EncodeToString(sum[:12]), body: body, gzipped: b.Bytes()}
}

// document is the page.
var document = sync.OnceValue(func() asset {
	style, script := "\n"+read("style.css")+read("table.css")+read("sessions.css")+read("config.css"), "\n"+link(files, "main")
	body := read("index.html")
	for _, inline := range []struct{ mark, tag, text string }{
		{`<link rel="stylesheet" href="style.css">`, "style", style},
		{`<script src="main.js"></script>`, "script", script},
	} {
		if strings.Count(body, inline.mark) != 1 {
			panic("index.html does not have " + inline.mark + " once")
		}
		opening := "<" + inline.tag + ">"
		if inline.tag == "script" {
			opening = `<script type="module">` // strict mode, and it runs when the document is complete
		}
		body = strings.Replace(body, inline.mark, opening+inline.text+"</"+inline.tag+">", 1)
	}
	return newAsset("index.html", "text/html; charset=utf-8", fmt.Sprintf(policyFormat, hashOf(script), hashOf(style)), []byte(body))
})

// read returns a file of the page. The files are in the binary: reading them cannot fail.
func read(name string) string {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// hashOf returns the source expression of an inline text.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Handler serves GET and HEAD of the page at /, and of its icon at /page/icon.svg. Requests of other paths go to missing.
// takesGzip reports whether the client of a request accepts gzip.
func Handler(missing http.Handler, takesGzip func(*http.Request) bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", missing)
	serve := func(a asset) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, takesGzip(r)) }
	}
	mux.Handle("GET /{$}", serve(document()))
	mux.Handle("GET /page/icon.svg", serve(newAsset("icon.svg", "image/svg+xml", "default-src 'none'; frame-ancestors 'none'", []byte(read("icon.svg")))))
	return mux
}

// serve sends the file. Browsers keep it, and ask each time whether it is still the same: after an upgrade of the proxy they
// get the page of the new version.
func (a asset) serve(w http.ResponseWriter, r *http.Request, gzipped bool) {
	h, tag, body := w.Header(), `"`+a.sum+`"`, a.body
	if gzipped { // another representation has another tag (RFC 9110, 8.8.3.3)
		h.Set("Content-Encoding", "gzip")
		tag, body = `"`+a.sum+`-gzip"`, a.gzipped
	}
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", a.kind)
	h.Set("Content-Security-Policy", a.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", tag)
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(body))
}
