package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// installed returns the paths of the files and folders in the packages; stage has what package.sh makes of the docs.
func installed(t *testing.T, docs string) []string {
	t.Helper()
	var paths []string
	for _, m := range regexp.MustCompile(`(?m)^ +(?:- )?dst: (\S+)$`).FindAllStringSubmatch(read(t, "nfpm.yaml"), -1) {
		paths = append(paths, m[1])
	}
	pages, err := filepath.Glob(filepath.Join(docs, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		paths = append(paths, "/usr/share/doc/tcp-proxy/"+filepath.Base(page))
	}
	return paths
}

// docs makes the docs of the packages.
func docs(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "doc")
	if out, err := exec.CommandContext(t.Context(), "./docs.sh", folder).CombinedOutput(); err != nil {
		t.Fatalf("docs.sh: %v\n%s", err, out)
	}
	return folder
}

// The packages have every page for administrators, and the links of the pages lead to files and headings in the packages.
func TestPackagedDocs(t *testing.T) {
	folder := docs(t)
	for _, page := range []string{"operations", "configuration", "metrics", "api", "security", "SECURITY"} {
		if _, err := os.Stat(filepath.Join(folder, page+".md")); err != nil {
			t.Error(err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	config := read(t, "nfpm.yaml")
	for _, page := range pages {
		// nfpm has no patterns for files that an RPM marks as docs.
		if !strings.Contains(config, "dst: /usr/share/doc/tcp-proxy/"+filepath.Base(page)+"\n") {
			t.Errorf("nfpm.yaml does not have %s for the RPM", filepath.Base(page))
		}
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, anchor, hasAnchor := strings.Cut(m[1], "#")
			to := filepath.Join(folder, file)
			if file == "" {
				to = page
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s, which is not in the packages", filepath.Base(page), m[1])
			} else if hasAnchor && !slices.Contains(anchors(read(t, to)), anchor) {
				t.Errorf("%s links to %s, where there is no such heading", filepath.Base(page), m[1])
			}
		}
	}
	if links < 5 {
		t.Errorf("%d links in %d pages", links, len(pages))
	}
}

// anchors returns the anchors of the headings of a page of Markdown.
func anchors(text string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		found = append(found, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return found
}

// Every file under /usr that manuals, docs, alerts, units and examples name for this program is in the packages.
func TestNamedFilesArePackaged(t *testing.T) {
	folder := docs(t)
	paths := installed(t, folder)
	texts := []string{"../README.md", "../etc/tcp-proxy/config.json", "man/tcp-proxy.8", manual, "prometheus/tcp-proxy.rules.yml"}
	for _, pattern := range []string{filepath.Join(folder, "*.md"), "systemd/*"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, more...)
	}
	found := 0
	for _, file := range texts {
		text := read(t, file)
		for _, path := range regexp.MustCompile(`/usr/[\w./@-]*tcp-proxy[\w./@-]*`).FindAllString(text, -1) {
			found++
			path = strings.TrimRight(path, "./")
			if !slices.ContainsFunc(paths, func(p string) bool { return p == path || strings.HasPrefix(p, path+"/") }) {
				t.Errorf("%s names %s, which is not in the packages", filepath.Base(file), path)
			}
		}
		if file != "../README.md" && strings.Contains(text, "docs/") {
			t.Errorf("%s names a file in docs/, which only the source has: name it in /usr/share/doc/tcp-proxy", filepath.Base(file))
		}
	}
	if found < 10 {
		t.Errorf("%d files are named", found)
	}
}
