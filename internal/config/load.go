package config

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"tcp-proxy/internal/linux"
)

// MaxSize is the maximum size of a configuration in bytes. 1,000 apps with ten targets each take less than 1 MiB.
const MaxSize = 16 << 20

// Load reads and parses a configuration: a file, or all files of a directory for which IsFile is true. It never blocks, even
// on a FIFO, and reads at most MaxSize bytes. Errors in the content are Errors, also those of single files of a directory; if
// the file or directory is unsuitable, such as a device, the error is an Error; if it cannot be read, a system error.
func Load(path string) (*Config, error) {
	if linux.IsDirectory(path) {
		return loadDirectory(path, readDirectory)
	}
	data, err := linux.ReadRegular(path, MaxSize)
	var unfit *linux.Unfit
	switch {
	case errors.As(err, &unfit):
		return nil, Error{File: path, Text: unfit.Why + ": a configuration is a regular file of at most 16 MiB"}
	case err != nil:
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(path, data)
	if err == nil {
		c.sum = sha256.Sum256(data)
	}
	return c, err
}

// Parse parses the content of a file; name is the file in messages. The error is Errors: the first one if the syntax is
// wrong, otherwise all.
func Parse(name string, data []byte) (*Config, error) {
	if len(data) > MaxSize {
		return nil, Errors{{File: name, Text: fmt.Sprintf("has %d bytes: a configuration has at most 16 MiB", len(data))}}
	}
	src := newSource(name, data)
	f := &files{name: name, list: []*source{src}}
	if wrong := src.parseSyntax(); wrong != nil {
		return nil, Errors{f.at(wrong.offset, wrong.path, wrong.text)}
	}
	f.root = src.root
	return f.config()
}
