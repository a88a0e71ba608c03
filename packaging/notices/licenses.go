package main

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// identify returns the SPDX identifier of a license.
func identify(text string) (string, error) {
	flat := strings.Join(strings.Fields(text), " ")
	has := func(phrase string) bool { return strings.Contains(flat, phrase) }
	switch {
	case has("Apache License Version 2.0, January 2004"):
		return "Apache-2.0", nil
	case has("Redistribution and use in source and binary forms") && (has("Neither the name") || has("may not be used to endorse or promote")):
		return "BSD-3-Clause", nil
	case has("Redistribution and use in source and binary forms"):
		return "BSD-2-Clause", nil
	case has("Permission is hereby granted, free of charge, to any person obtaining a copy"):
		return "MIT", nil
	case has("Permission to use, copy, modify, and distribute this software is freely granted, provided that this notice is preserved"):
		return "SunPro", nil
	case has("may be used freely but it comes with no support or guarantee"):
		return "LicenseRef-Cephes", nil
	case has("is governed by a BSD-style license") || has("Licensed under the Apache License, Version 2.0"):
		return "", errReference
	}
	return "", errors.New("its license is not known to this program: read it, and add it to identify")
}

// errReference says that a text is no license but names one.
var errReference = errors.New("the text only names a license")

var copyrightLine = regexp.MustCompile(`(?i)^(?:portions |revisions )?copyright(?: \(c\)| ©)* +((?:\(c\) )?\d{4}.*|.*\b(?:authors|inc)\b.*)$`)

// copyrights returns who holds the copyright, in the words of the text.
func copyrights(text string) []string {
	var found []string
	for line := range strings.Lines(text) {
		m := copyrightLine.FindStringSubmatch(strings.Join(strings.Fields(line), " "))
		if m == nil {
			continue
		}
		holder := strings.TrimSuffix(strings.TrimSuffix(m[1], "."), " All rights reserved")
		if !strings.HasSuffix(holder, "Inc.") {
			holder = strings.TrimSuffix(holder, ".")
		}
		if strings.ContainsFunc(holder, unicode.IsLetter) && !slices.Contains(found, holder) {
			found = append(found, holder)
		}
	}
	return found
}

// holders returns the copyright that the heads of source files state.
func holders(files map[string]bool) ([]string, error) {
	var found []string
	for _, file := range slices.Sorted(maps.Keys(files)) {
		comments, err := commentsOf(file)
		if err != nil {
			return nil, err
		}
		for _, comment := range comments {
			found = union(found, copyrights(comment))
		}
	}
	return found, nil
}

// licenseWords are in every notice that grants something. A word in a comment that is no notice does no harm but a failure
// of this program.
var licenseWords = regexp.MustCompile(`Redistribution and use|Permission (?:to use|is hereby)|freely granted|may be used\s+freely`)

// noticesIn returns the notices of a source file that grant rights themselves, beside the license of its module.
func (o owner) noticesIn(file string) ([]part, error) {
	comments, err := commentsOf(file)
	if err != nil {
		return nil, err
	}
	var found []part
	for _, comment := range comments {
		if !licenseWords.MatchString(comment) {
			continue
		}
		license, err := identify(comment)
		if errors.Is(err, errReference) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		name := o.path(file)
		comment = noticeOf(comment)
		holders := copyrights(comment)
		if len(holders) == 0 {
			return nil, fmt.Errorf("%s: its notice names no holder of the copyright", file)
		}
		found = append(found, part{name: name, from: o.name + " " + o.version, files: []string{name}, copyright: holders, license: license, text: comment})
	}
	return found, nil
}

// noticeOf cuts from a comment what is before the first line about copyright, and a line that closes a box of text.
func noticeOf(comment string) string {
	lines := strings.Split(strings.TrimSpace(comment), "\n")
	first := slices.IndexFunc(lines, func(line string) bool { return len(copyrights(line)) > 0 })
	if first < 0 {
		return comment
	}
	lines = lines[first:]
	if end := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "=====") }); end > 0 {
		lines = lines[:end]
	}
	return strings.Join(lines, "\n") + "\n"
}

// commentsOf returns the comments of a Go or assembler file, without the marks of comments.
func commentsOf(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(file, ".go") {
		return assemblerComments(string(data)), nil
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), file, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var comments []string
	for _, group := range syntax.Comments {
		comments = append(comments, group.Text())
	}
	return comments, nil
}

// assemblerComments returns the blocks of lines that begin with //.
func assemblerComments(source string) []string {
	var comments []string
	var block strings.Builder
	for line := range strings.Lines(source + "\n") {
		if comment, ok := strings.CutPrefix(line, "//"); ok {
			block.WriteString(strings.TrimPrefix(comment, " "))
		} else if block.Len() > 0 {
			comments = append(comments, block.String())
			block.Reset()
		}
	}
	return comments
}

// merge makes one part of all files with the same notice.
func merge(parts []part) []part {
	var merged []part
	at := map[string]int{}
	for _, p := range parts {
		key := strings.Join(strings.Fields(p.text), " ")
		i, ok := at[key]
		if !ok {
			at[key] = len(merged)
			merged = append(merged, p)
			continue
		}
		merged[i].files = union(merged[i].files, p.files)
	}
	return merged
}

// goLicense is the license of Go, for a GOROOT without the file.
const goLicense = `Copyright 2009 The Go Authors.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are
met:

   * Redistributions of source code must retain the above copyright
notice, this list of conditions and the following disclaimer.
   * Redistributions in binary form must reproduce the above
copyright notice, this list of conditions and the following disclaimer
in the documentation and/or other materials provided with the
distribution.
   * Neither the name of Google LLC nor the names of its
contributors may be used to endorse or promote products derived from
this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS
"AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT
LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR
A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT
OWNER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL,
SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT
LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE,
DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY
THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT
(INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
`
