package main

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The notices name every module that the binary says it contains, in its version, and no other.
func TestNoticesHaveEveryModuleOfTheBinary(t *testing.T) {
	parts := partsOf(t)
	binary := filepath.Join(t.TempDir(), "tcp-proxy")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "tcp-proxy/cmd/tcp-proxy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Go " + strings.TrimPrefix(info.GoVersion, "go")}
	for _, module := range info.Deps {
		want = append(want, module.Path+" "+module.Version)
	}
	slices.Sort(want)
	var got []string
	for _, p := range parts {
		got = append(got, p.from)
	}
	slices.Sort(got)
	got = slices.Compact(got)
	if len(want) < 10 || !slices.Equal(got, want) {
		t.Errorf("the notices are of\n%s\nand the binary contains\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for format, text := range map[string]string{"debian": debian(parts), "text": text(parts)} {
		for _, module := range want {
			if !strings.Contains(text, module+".\n") && !strings.Contains(text, module+"\n") {
				t.Errorf("the format %s does not name %s", format, module)
			}
		}
	}
}

func partsOf(t *testing.T) []part {
	t.Helper()
	parts, err := collect("tcp-proxy/cmd/tcp-proxy")
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

// The Debian format has the text of each license that it names, once; and the license of the RPM has all of their names.
func TestLicensesAreComplete(t *testing.T) {
	parts := partsOf(t)
	var named, texts []string
	for stanza := range strings.SplitSeq(debian(parts), "\n\n") {
		license := regexp.MustCompile(`(?m)^License: (\S+)$`).FindStringSubmatch(stanza)
		switch {
		case strings.HasPrefix(stanza, "Format:"):
		case license == nil:
			t.Errorf("no license in\n%s", stanza)
		case strings.HasPrefix(stanza, "Files: "):
			named = append(named, license[1])
			if !strings.Contains(stanza, "\nCopyright: ") {
				t.Errorf("no copyright in\n%s", stanza)
			}
		case strings.HasPrefix(stanza, "License: ") && strings.Contains(stanza, "\n "):
			texts = append(texts, license[1])
		default:
			t.Errorf("not a paragraph of debian/copyright:\n%s", stanza)
		}
	}
	slices.Sort(texts)
	if named = union(named, nil); !slices.Equal(named, texts) {
		t.Errorf("licenses %v are named, and there are the texts of %v", named, texts)
	}

	ids := []string{ownLicense}
	full := text(parts)
	for _, p := range parts {
		ids = append(ids, p.license)
		if !strings.Contains(full, strings.TrimSpace(p.text)) || !strings.Contains(full, strings.TrimSpace(p.notice)) {
			t.Errorf("the text of %s is not in full", p.name)
		}
	}
	config, err := os.ReadFile("../nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"license: " + strings.Join(union(ids, nil), " AND "), "homepage: " + homepage} {
		if !strings.Contains(string(config), "\n"+line+"\n") {
			t.Errorf("nfpm.yaml does not have the line %q", line)
		}
	}
}

// A module without a license, or with one that nobody has read, is an error that names the module.
func TestUnknownLicense(t *testing.T) {
	folder := t.TempDir()
	o := owner{"example.org/module", "v1.0.0", folder}
	inner := filepath.Join(folder, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := o.licensed(inner); err == nil || !strings.Contains(err.Error(), "example.org/module v1.0.0 has no license") {
		t.Errorf("no license: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "LICENSE.txt"), []byte("You may do nothing."), 0o644); err != nil {
		t.Fatal(err)
	}
	dir, err := o.licensed(inner)
	if err != nil || dir != folder {
		t.Fatalf("the license is in %s, %v", dir, err)
	}
	if _, err := o.read(dir); err == nil || !strings.Contains(err.Error(), "example.org/module v1.0.0") {
		t.Errorf("an unknown license: %v", err)
	}
}

// A file's own notice is found, and the words around it are not part of it.
func TestNoticeOfAFile(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "sine.s")
	source := "// A sine, from elsewhere.\n// =====\n// Copyright (C) 1993 by Somebody, Inc. All rights reserved.\n//\n" +
		"// Permission is hereby granted, free of charge, to any person obtaining a copy\n// =====\n\nTEXT sine\n// after it\n"
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := owner{"example.org/module", "v1.0.0", folder}.noticesIn(file)
	if err != nil || len(found) != 1 {
		t.Fatalf("%d notices, %v", len(found), err)
	}
	p := found[0]
	if p.license != "MIT" || p.files[0] != "example.org/module/sine.s" || !slices.Equal(p.copyright, []string{"1993 by Somebody, Inc."}) {
		t.Errorf("found %+v", p)
	}
	if !strings.HasPrefix(p.text, "Copyright (C) 1993") || strings.Contains(p.text, "===") || strings.Contains(p.text, "after") {
		t.Errorf("its text is %q", p.text)
	}
}
