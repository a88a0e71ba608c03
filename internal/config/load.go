package config

import (
	"bytes"
	"errors"
	"fmt"

	"tcp-proxy/internal/linux"
)

// MaxSize is the maximum size of a configuration in bytes. 1,000 apps with ten targets each take less than 1 MiB.
const MaxSize = 16 << 20

// Load reads and parses a configuration file. It never blocks, even on a FIFO, and reads at most MaxSize bytes. Errors in
// the content are Errors; if the file is unsuitable, such as a directory, the error is an Error; if it cannot be read, a
// system error.
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

// Parse parses the content of a file; name is the file in messages. The error is Errors: the first one if the syntax is
// wrong, otherwise all.
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
