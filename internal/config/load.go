package config

import (
	"bytes"
	"fmt"
	"os"
)

// Load reads and parses the configuration in a file. What is wrong with its content comes as Errors; that it cannot be
// read does not.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse makes a configuration of the content of a file; name stands for the file in messages. It fails with Errors:
// with the first one if the syntax is wrong, else with all of them.
func Parse(name string, data []byte) (*Config, error) {
	src := newSource(name, bytes.TrimPrefix(bytes.Clone(data), []byte("\uFEFF")))
	if wrong := src.parseSyntax(); wrong != nil {
		return nil, src.report([]problem{*wrong})
	}
	d := decoder{source: src}
	doc := d.document()
	d.check(&doc)
	if len(d.problems) > 0 {
		return nil, src.report(d.problems)
	}
	c := &doc.Config
	c.source = src
	c.Admin = doc.Admin.config()
	c.Apps, c.elements = make([]App, len(doc.Apps)), make([][]int, len(doc.Apps))
	for i, a := range doc.Apps {
		c.Apps[i] = App{Name: string(a.Name), Targets: a.Targets, Settings: a.Settings}
		c.Apps[i].Ports, c.elements[i] = expand(a.Ports)
	}
	return c, nil
}
