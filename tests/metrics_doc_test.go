package tests

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/proxy"
)

const metricsDoc = "../docs/metrics.md"

// The table of metrics in the docs is generated from the metrics that are served.
func TestMetricsDocHasEveryMetric(t *testing.T) {
	data, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?s)(<!-- metrics: [^\n]* -->\n).*(<!-- /metrics -->)`)
	if !section.Match(data) {
		t.Fatalf("%s has no marker for the table of metrics", metricsDoc)
	}
	var table strings.Builder
	table.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range admin.Metrics() {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Help)
	}
	want := section.ReplaceAllString(string(data), "${1}"+table.String()+"${2}")
	if want == string(data) {
		return
	}
	if !*update {
		t.Fatalf("%s does not have the metrics as they are: go test ./tests -run TestMetricsDoc -update", metricsDoc)
	}
	if err := os.WriteFile(metricsDoc, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Docs, alerts and the dashboard only use metrics that exist.
func TestMetricsThatAreNamedExist(t *testing.T) {
	known := map[string]bool{}
	for _, m := range admin.Metrics() {
		known[m.Name] = true
		if m.Type == "histogram" {
			known[m.Name+"_bucket"], known[m.Name+"_sum"], known[m.Name+"_count"] = true, true, true
		}
	}
	named := regexp.MustCompile(`\btcp_proxy_[a-z_]*[a-z]`)
	for _, file := range []string{metricsDoc, operationsDoc, "../packaging/prometheus/tcp-proxy.rules.yml", "../packaging/grafana/tcp-proxy.json", "../README.md"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := named.FindAllString(string(data), -1)
		if len(found) == 0 && !strings.HasSuffix(file, "README.md") {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range found {
			if !known[name] {
				t.Errorf("%s names %s, which is not served", file, name)
			}
		}
	}
}

// The dashboard shows every metric that an alert uses.
func TestDashboardShowsMetricsOfAlerts(t *testing.T) {
	rules, err := os.ReadFile("../packaging/prometheus/tcp-proxy.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	dashboard, err := os.ReadFile("../packaging/grafana/tcp-proxy.json")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	named := regexp.MustCompile(`\btcp_proxy_[a-z_]*[a-z]`)
	for _, name := range named.FindAllString(string(dashboard), -1) {
		shown[name] = true
	}
	watched := named.FindAllString(string(rules), -1)
	if len(watched) == 0 {
		t.Error("the alerts name no metric")
	}
	for _, name := range watched {
		if !shown[name] {
			t.Errorf("an alert watches %s, which no panel shows", name)
		}
	}
}

const operationsDoc = "../docs/operations.md"

// The docs describe every alert, and no other.
func TestOperationsDocHasEveryAlert(t *testing.T) {
	rules, err := os.ReadFile("../packaging/prometheus/tcp-proxy.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(operationsDoc)
	if err != nil {
		t.Fatal(err)
	}
	alerts := map[string]bool{}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		alerts[m[1]] = true
		if !strings.Contains(string(doc), "`"+m[1]+"`") {
			t.Errorf("%s does not have the alert %s", operationsDoc, m[1])
		}
	}
	for _, name := range regexp.MustCompile(`TcpProxy\w+`).FindAllString(string(doc), -1) {
		if !alerts[name] {
			t.Errorf("%s names the alert %s, which does not exist", operationsDoc, name)
		}
	}
}

// Log messages that the docs quote are in the source.
func TestOperationsDocQuotesTheJournal(t *testing.T) {
	doc, err := os.ReadFile(operationsDoc)
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	err = filepath.WalkDir("../internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	quoted := 0
	for _, row := range regexp.MustCompile(`(?m)^\| journal \|.*$`).FindAllString(string(doc), -1) {
		for _, m := range regexp.MustCompile("`([a-z][a-z ,:;-]* [a-z ,:;-]*)`").FindAllStringSubmatch(row, -1) {
			quoted++
			if !strings.Contains(source.String(), m[1]) {
				t.Errorf("%s quotes %q, which is not in the source", operationsDoc, m[1])
			}
		}
	}
	if quoted < 8 {
		t.Errorf("%d messages are quoted", quoted)
	}
}

const apiDoc = "../docs/api.md"

// The docs of the API have every field of the status, of the list of sessions and of the configuration, every kind of event, and valid examples.
func TestAPIDocHasEveryField(t *testing.T) {
	data, err := os.ReadFile(apiDoc)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	var status proxy.Snapshot
	var list proxy.Sessions
	var active admin.Config
	documents(t, section(t, doc, "The status"), &status)
	documents(t, section(t, doc, "Open sessions"), &list)
	documents(t, section(t, doc, "The active configuration"), &active)
	if status.Version != proxy.SnapshotVersion || list.Version != proxy.SessionsVersion || active.Version != admin.ConfigVersion {
		t.Errorf("the examples have the versions %d, %d and %d", status.Version, list.Version, active.Version)
	}
	source, err := os.ReadFile("../internal/proxy/snapshot.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`\tEvent\w+ += "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	if len(kinds) < 10 {
		t.Errorf("only %d kinds of events were found", len(kinds))
	}
	for _, kind := range kinds {
		if !strings.Contains(doc, "`"+kind[1]+"`") {
			t.Errorf("%s does not have the event %s", apiDoc, kind[1])
		}
	}
}

// section returns what a document has below a heading, up to the next one.
func section(t *testing.T, doc, heading string) string {
	t.Helper()
	found := regexp.MustCompile(`(?s)\n## ` + heading + `\n(.*?)(?:\n## |$)`).FindStringSubmatch(doc)
	if found == nil {
		t.Fatalf("there is no section %q", heading)
	}
	return found[1]
}

// documents wants a section to have every field of an object and no other one, and an example, which it reads into the object.
func documents(t *testing.T, text string, object any) {
	t.Helper()
	var want []string
	fieldsOf("", reflect.TypeOf(object).Elem(), &want)
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)` \\|").FindAllStringSubmatch(text, -1) {
		rows[m[1]] = true
	}
	for _, field := range want {
		if !rows[field] {
			t.Errorf("%s does not have the field %s of %T", apiDoc, field, object)
		}
		delete(rows, field)
	}
	for row := range rows {
		t.Errorf("%s has the field %s, which %T does not", apiDoc, row, object)
	}
	example := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(text)
	if example == nil {
		t.Fatalf("there is no example of %T", object)
	}
	decoder := json.NewDecoder(strings.NewReader(example[1]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(object); err != nil {
		t.Errorf("the example of %T: %v", object, err)
	}
}

// fieldsOf lists the JSON fields of a type.
func fieldsOf(prefix string, object reflect.Type, list *[]string) {
	for i := range object.NumField() {
		f := object.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		kind, path := f.Type, prefix+name
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if kind.Kind() == reflect.Slice {
			kind, path = kind.Elem(), path+"[]"
		}
		*list = append(*list, strings.TrimSuffix(path, "[]"))
		if kind.Kind() == reflect.Struct && kind != reflect.TypeFor[time.Time]() {
			fieldsOf(path+".", kind, list)
		}
	}
}
