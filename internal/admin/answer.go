package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tcp-proxy/internal/sanitize"
)

// Problem is the body of an answer that is not a success.
type Problem struct {
	Error  string   `json:"error"`            // in a sentence
	Errors []string `json:"errors,omitempty"` // of a reload that was refused: every one
}

// maxProblem is how long each text of a Problem may be, in bytes.
const maxProblem = 1 << 10

// answerProblem answers with a problem, whose texts may have parts from outside.
func answerProblem(w http.ResponseWriter, code int, p Problem) {
	p.Error = sanitize.Text(p.Error, maxProblem)
	p.Errors = slices.Clone(p.Errors)
	for i, text := range p.Errors {
		p.Errors[i] = sanitize.Text(text, maxProblem)
	}
	answerJSON(w, code, p)
}

func answerJSON(w http.ResponseWriter, code int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		code, text = http.StatusInternalServerError, []byte(`{"error": "encoding the response failed"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(code)
	w.Write(append(text, '\n')) // an error means that the client is gone
}

// answerLine answers with a word or two, for people and for clients that check only the status code.
func answerLine(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	w.Write([]byte(text + "\n"))
}

// takesGzip reports whether the client accepts gzip (RFC 9110, 12.5.3).
func takesGzip(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(accept, ",") {
			name, weight, _ := strings.Cut(coding, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if name != "gzip" && name != "*" {
				continue
			}
			q, given := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			if value, err := strconv.ParseFloat(q, 64); !given || err != nil || value > 0 {
				return true
			}
			return false
		}
	}
	return false
}
