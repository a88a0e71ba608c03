package tests

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"tcp-proxy/internal/config"
)

var update = flag.Bool("update", false, "write what is generated into the docs")

const configurationDoc = "../docs/configuration.md"

// The table of keys in the docs is generated from the types of the configuration.
func TestConfigurationDocHasEveryKey(t *testing.T) {
	data, err := os.ReadFile(configurationDoc)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?s)(<!-- keys: [^\n]* -->\n).*(<!-- /keys -->)`)
	if !section.Match(data) {
		t.Fatalf("%s has no marker for the table of keys", configurationDoc)
	}
	want := section.ReplaceAllString(string(data), "${1}"+strings.ReplaceAll(keyTable(), "$", "$$")+"${2}")
	if want == string(data) {
		return
	}
	if !*update {
		t.Fatalf("%s does not have the keys as they are: go test ./tests -run TestConfigurationDoc -update", configurationDoc)
	}
	if err := os.WriteFile(configurationDoc, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | type | default | values | meaning |\n|---|---|---|---|---|\n")
	cell := strings.NewReplacer(`\`, `\\`, "|", `\|`, "\n", " ")
	for _, k := range config.Keys() {
		if strings.HasPrefix(k.Path, "defaults.") {
			continue
		}
		def := k.Default
		switch {
		case k.Required:
			def = "required"
		case def != "":
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Path, cell.Replace(k.Type), def, cell.Replace(k.Range), cell.Replace(k.Doc))
	}
	return b.String()
}

// Every example in the docs is a valid configuration, and together the examples use every key.
func TestConfigurationDocExamples(t *testing.T) {
	used := map[string]bool{}
	for _, doc := range []string{configurationDoc, metricsDoc, apiDoc, "../README.md"} {
		data, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for i, example := range regexp.MustCompile("(?s)```jsonc\n(.*?)```").FindAllSubmatch(data, -1) {
			if _, err := config.Parse(fmt.Sprintf("%s, example %d", doc, i+1), example[1]); err != nil {
				t.Error(err)
			}
			for _, key := range regexp.MustCompile(`"([a-z_]+)":`).FindAllSubmatch(example[1], -1) {
				used[string(key[1])] = true
			}
		}
	}
	for _, k := range config.Keys() {
		name := k.Path[strings.LastIndex(k.Path, ".")+1:]
		if name != "engine" && !used[name] { // an engine is not for everyday
			t.Errorf("%s is in no example", k.Path)
		}
	}
}
