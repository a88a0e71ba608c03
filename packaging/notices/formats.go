package main

import (
	"fmt"
	"slices"
	"strings"
)

// The license of tcp-proxy itself.
const (
	ownCopyright = "2026 tcp-proxy contributors"
	ownLicense   = "Apache-2.0"
	homepage     = "https://tcp-proxy.example/"
)

// debian formats the parts as debian/copyright.
// https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
func debian(parts []part) string {
	var b strings.Builder
	fmt.Fprintf(&b, `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tcp-proxy
Source: %s
Comment:
 The program is linked statically and contains the parts that this file lists
 after tcp-proxy itself. Their paths begin with the path of their Go module, or
 with go/ for Go and its standard library.

Files: *
Copyright: %s
License: %s
`, homepage, ownCopyright, ownLicense)
	names := licenseNames(parts)
	for i, p := range parts {
		fmt.Fprintf(&b, "\nFiles: %s\nCopyright: %s\nLicense: %s\n", strings.Join(p.files, "\n "), strings.Join(p.copyright, "\n "), names[i])
		fmt.Fprintf(&b, "Comment:\n From %s.\n", p.from)
		if p.notice != "" {
			fmt.Fprintf(&b, " .\n Its NOTICE file:\n .\n%s", indent(p.notice))
		}
	}
	b.WriteString(`
License: Apache-2.0
 On Debian systems, the full text of the Apache License, Version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
`)
	written := []string{ownLicense}
	for i, p := range parts {
		if slices.Contains(written, names[i]) {
			continue
		}
		written = append(written, names[i])
		fmt.Fprintf(&b, "\nLicense: %s\n%s", names[i], indent(p.text))
	}
	return b.String()
}

// licenseNames names the license of each part. Texts of one license differ, in the names that they have; each has its own
// name, such as MIT~2.
func licenseNames(parts []part) []string {
	names := make([]string, len(parts))
	texts := map[string][]string{}
	for i, p := range parts {
		names[i] = p.license
		if p.license == ownLicense {
			continue
		}
		text := strings.Join(strings.Fields(p.text), " ")
		at := slices.Index(texts[p.license], text)
		if at < 0 {
			at = len(texts[p.license])
			texts[p.license] = append(texts[p.license], text)
		}
		if at > 0 {
			names[i] += fmt.Sprintf("~%d", at+1)
		}
	}
	return names
}

// indent formats a text as the continuation of a field: a space before each line, a dot on each empty one.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		line = strings.TrimRight(strings.ReplaceAll(line, "\t", "        "), " \r\n")
		if line == "" {
			line = "."
		}
		b.WriteString(" " + line + "\n")
	}
	return b.String()
}

// text formats the parts with every text in full.
func text(parts []part) string {
	var b strings.Builder
	b.WriteString("tcp-proxy is linked statically and contains the following parts, each under its own license.\n" +
		"The license of tcp-proxy itself is in LICENSE.\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "\n%s\n%s\nFiles: %s\nLicense: %s\n", strings.Repeat("=", 80), p.from, strings.Join(p.files, "\n       "), p.license)
		for _, holder := range p.copyright {
			fmt.Fprintf(&b, "Copyright %s\n", holder)
		}
		fmt.Fprintf(&b, "%s\n\n%s\n", strings.Repeat("=", 80), strings.TrimSpace(p.text))
		if p.notice != "" {
			fmt.Fprintf(&b, "\nNOTICE:\n\n%s\n", strings.TrimSpace(p.notice))
		}
	}
	return b.String()
}
