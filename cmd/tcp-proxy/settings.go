package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/proxy"
)

// settings are the flags about the configuration: its file or directory, and values that override it.
type settings struct {
	file  string
	flags *pflag.FlagSet
}

const (
	configFile  = "config-file" // the flag
	defaultFile = "config.json"
	// packagedConfig is the configuration of the packaged service, packagedDirectory the place for one of several files.
	packagedConfig    = "/etc/tcp-proxy/config.json"
	packagedDirectory = "/etc/tcp-proxy/conf.d"
)

func (s *settings) addTo(cmd *cobra.Command) {
	s.flags = cmd.Flags()
	s.flags.StringVar(&s.file, configFile, defaultFile, "the configuration: a file, or a directory whose *.json files make one")
	for _, o := range overrides {
		usage, words := o.usage, config.Words(o.key)
		if len(words) > 0 {
			usage += ": " + strings.Join(words, ", ")
		}
		s.flags.Var(&override{key: o.key, kind: o.kind, value: o.shown}, o.flag, usage)
		if err := cmd.RegisterFlagCompletionFunc(o.flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // the flag was added above
		}
	}
}

// loadFirst is load for a start or a check. If there is no default file, the error names the flag for another one.
func (s *settings) loadFirst() (*config.Config, error) {
	cfg, err := s.load()
	if err == nil || s.flags.Changed(configFile) || !errors.Is(err, fs.ErrNotExist) {
		return cfg, err
	}
	text := fmt.Sprintf("there is no %s here: name yours with --%s", s.file, configFile)
	for _, packaged := range []string{packagedConfig, packagedDirectory} {
		if _, err := os.Stat(packaged); err == nil {
			text += ", such as " + packaged
			break
		}
	}
	return nil, failure{exitConfig, errors.New(text)}
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
