package main

import (
	"strconv"

	"tcp-proxy/internal/config"
)

// overrides are the flags that override a key of the file.
var overrides = []struct {
	flag, key string
	kind      string // of the value, in the help
	shown     string // the default in the help; "": none
	usage     string
}{
	{"max-workers", "max_workers", "number", strconv.Itoa(config.Default().MaxWorkers), "how many sessions may be open at once; overrides max_workers of the file"},
	{"engine", "engine", "name", "", "the engine"},
	{"log-level", "log.level", "level", "", "log this level and above"},
	{"log-format", "log.format", "format", "", "the format of the log"},
}

// override is the value of a flag that overrides a key of the file. It is checked before the file is read.
type override struct{ key, kind, value string }

func (o *override) String() string { return o.value }
func (o *override) Type() string   { return o.kind }

// Set sets the value if the rule of the key allows it.
func (o *override) Set(value string) error {
	scratch := config.Default()
	if err := scratch.Override(o.key, value); err != nil {
		return err
	}
	o.value = value
	return nil
}
