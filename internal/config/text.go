package config

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// File is a file of a configuration, to be shown.
type File struct {
	Path string // as it was given
	Text string // as it was read, with its comments, but for what is Redacted
}

// Redacted stands for a value that may hold a password or a token: that of probe.send, and what follows a "?" in
// probe.http.path.
const Redacted = "[redacted]"

// Text returns the files that the configuration was read from; none for a Config built by hand.
func (c *Config) Text() []File {
	if c.files == nil {
		return nil
	}
	var all []File
	for _, s := range c.files.list {
		all = append(all, File{Path: s.name, Text: s.redacted()})
	}
	return all
}

// redacted returns the text without the values that may be secret.
func (s *source) redacted() string {
	var cuts []redaction
	settings := []*hujson.Value{member(&s.root, "defaults")}
	if apps := member(&s.root, "apps"); apps != nil {
		if list, ok := apps.Value.(*hujson.Array); ok {
			for i := range list.Elements {
				settings = append(settings, &list.Elements[i])
			}
		}
	}
	for _, at := range settings {
		cuts = append(cuts, redactionsOf(descend(at, "probe"))...)
	}
	slices.SortFunc(cuts, func(a, b redaction) int { return a.from - b.from })
	var text strings.Builder
	done := 0
	for _, cut := range cuts {
		text.Write(s.data[done : cut.from-s.base])
		text.WriteString(cut.shown)
		done = cut.to - s.base
	}
	text.Write(s.data[done:])
	return text.String()
}

// redaction replaces the bytes from one offset to another.
type redaction struct {
	from, to int
	shown    string
}

// redactionsOf returns what is to be replaced in a probe; nil is none.
func redactionsOf(probe *hujson.Value) (cuts []redaction) {
	if send := descend(probe, "send"); isString(send) && text(send) != "" {
		cuts = append(cuts, redact(send, Redacted))
	}
	if path := descend(descend(probe, "http"), "path"); isString(path) {
		if before, _, found := strings.Cut(text(path), "?"); found {
			cuts = append(cuts, redact(path, before+"?"+Redacted))
		}
	}
	return cuts
}

// descend is member, which may begin at nil.
func descend(v *hujson.Value, key string) *hujson.Value {
	if v == nil {
		return nil
	}
	return member(v, key)
}

func isString(v *hujson.Value) bool {
	if v == nil {
		return false
	}
	literal, ok := v.Value.(hujson.Literal)
	return ok && literal.Kind() == '"'
}

func redact(v *hujson.Value, shown string) redaction {
	quoted, _ := json.Marshal(shown) // a string cannot fail
	return redaction{v.StartOffset, v.EndOffset, string(quoted)}
}

// Sum returns the checksum of the file or directory that the configuration was read from: that of Sum, as long as it has not
// changed. It is zero for a Config that Load has not read.
func (c *Config) Sum() [sha256.Size]byte { return c.sum }

// Overridden is a key whose value does not come from the file.
type Overridden struct{ Key, Value string }

// Overrides returns what Override has set, in the order of the calls.
func (c *Config) Overrides() []Overridden { return slices.Clone(c.overrides) }
