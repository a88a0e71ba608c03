package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const securityDoc = "../docs/security.md"

// The limits in the security docs are those of the code: each row names a file and text in it.
func TestSecurityDocHasTheLimits(t *testing.T) {
	data, err := os.ReadFile(securityDoc)
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`(?s)<!-- limits: .*<!-- /limits -->`).Find(data)
	checked := 0
	space := regexp.MustCompile(`\s+`)
	for row := range strings.Lines(string(table)) {
		code, source := "", ""
		for _, span := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row, -1) {
			switch text := span[1]; {
			case strings.HasSuffix(text, ".go"):
				file, err := os.ReadFile(filepath.Join("..", text))
				if err != nil {
					t.Errorf("%v in the row %s", err, row)
				}
				source, code = text, space.ReplaceAllString(string(file), " ")
			case source != "":
				found := regexp.MustCompile(`\b` + regexp.QuoteMeta(text) + `($|[^\w.*+<-])`).FindStringIndex(code)
				if found == nil {
					t.Errorf("%s does not contain %q, which %s has in the row %s", source, text, securityDoc, row)
				}
				checked++
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d limits were found", checked)
	}
}
