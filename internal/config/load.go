package config

import (
	"bytes"
	"errors"
	"fmt"

	"tcp-proxy/internal/linux"
)

// MaxSize is how many bytes a configuration may have. 1,000 apps of ten targets each take less than 1 MiB.
const MaxSize = 16 << 20

// Load reads and parses the configuration in a file. It never waits for who writes the file, and reads no more than a
// configuration may have. What is wrong with its content comes as Errors; that it is no file to read a configuration from
// comes as one Error, and that it cannot be read as an error of the system.
func Load(path string) (*Config, error) {
	data, err := linux.ReadRegular(path, MaxSize)
	var unfit *linux.Unfit
	switch {
	case errors.As(err, &unfit):
		return nil, Error{File: path, Text: unfit.Why + ": a configuration is a regular file of at most 16 MiB"}
	case err != nil:
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse makes a configuration of the content of a file; name stands for the file in messages. It fails with Errors:
// with the first one if the syntax is wrong, else with all of them, as far as Errors tells them.
func Parse(name string, data []byte) (*Config, error) {
	if len(data) > MaxSize {
		return nil, Errors{{File: name, Text: fmt.Sprintf("has %d bytes: a configuration has at most 16 MiB", len(data))}}
	}
	src := newSource(name, bytes.TrimPrefix(data, []byte("\uFEFF")))
	if wrong := src.parseSyntax(); wrong != nil {
		return nil, src.report(&problems{kept: []problem{*wrong}, count: 1})
	}
	d := decoder{source: src}
	doc := d.document()
	d.check(&doc)
	if d.problems.count > 0 {
		return nil, src.report(&d.problems)
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
