package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/proxy"
)

// settings are the flags about the configuration: its file, and values that override the file.
type settings struct {
	file  string
	flags *pflag.FlagSet
}

// overrides are the flags that override a key of the file.
var overrides = []struct{ flag, key string }{
	{"max-workers", "max_workers"},
	{"engine", "engine"},
	{"log-level", "log.level"},
	{"log-format", "log.format"},
}

func (s *settings) addTo(cmd *cobra.Command) {
	s.flags = cmd.Flags()
	s.flags.StringVar(&s.file, "config-file", "config.json", "the configuration file")
	s.flags.Int("max-workers", config.Default().MaxWorkers, "how many sessions may be open at once; overrides max_workers of the file")
	s.flags.String("engine", "", "the engine: "+config.Words("engine"))
	s.flags.String("log-level", "", "log this level and above: "+config.Words("log.level"))
	s.flags.String("log-format", "", "the format of the log: "+config.Words("log.format"))
}

// load reads the configuration, overrides values by the given flags, and checks it against the limits of this process.
func (s *settings) load() (*config.Config, error) {
	cfg, err := config.Load(s.file)
	if err != nil {
		return nil, failure{exitConfig, err}
	}
	for _, o := range overrides {
		if !s.flags.Changed(o.flag) {
			continue
		}
		if err := cfg.Override(o.key, s.flags.Lookup(o.flag).Value.String()); err != nil {
			return nil, fmt.Errorf("--%s %w", o.flag, err)
		}
	}
	if err := s.fits(cfg); err != nil {
		return nil, failure{exitConfig, err}
	}
	return cfg, nil
}

// fits reports an error if the configuration may need more descriptors than this process can have (RLIMIT_NOFILE).
func (s *settings) fits(cfg *config.Config) error {
	limit, err := linux.DescriptorLimit()
	if err != nil {
		return err
	}
	size, forAdmin := proxy.SizeOf(cfg), admin.Descriptors(len(cfg.Admin.Listen))
	need := size.Descriptors(limit) + forAdmin
	if need <= limit {
		return nil
	}
	text := fmt.Sprintf("%d workers with engine %q and %d ports may need %d descriptors, but the limit is %d (RLIMIT_NOFILE): "+
		"at most %d workers fit", size.Workers, size.Engine, size.Ports, need, limit, size.MostWorkers(limit, forAdmin))
	if s.flags.Changed("max-workers") {
		return fmt.Errorf("--max-workers: %s", text)
	}
	return cfg.Errorf("max_workers", "%s", text)
}
