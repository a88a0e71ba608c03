package main

import (
	"github.com/spf13/cobra"

	"tcp-proxy/internal/admin/client"
	"tcp-proxy/internal/config"
)

// Where a proxy is looked for that the command line does not name: what the first of these configurations says that
// says anything, and the packaged one's socket if none does.
var usualConfigs = []string{"config.json", "/etc/tcp-proxy/config.json"}

const usualSocket = "/run/tcp-proxy/admin.sock"

// remote is how a command finds the proxy that runs.
type remote struct{ socket, file string }

func (r *remote) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.socket, "socket", "", "the admin socket of the proxy (default: the one in the configuration, else "+usualSocket+")")
	cmd.Flags().StringVar(&r.file, "config-file", "", "the configuration of the running proxy (default: config.json, else /etc/tcp-proxy/config.json)")
}

// client makes a client of the proxy.
func (r *remote) client() (*client.Client, error) {
	if r.socket != "" {
		return client.New(r.socket), nil
	}
	if r.file != "" {
		cfg, err := config.Load(r.file)
		if err != nil {
			return nil, failure{exitConfig, err}
		}
		path := socketOf(cfg)
		if path == "" {
			return nil, failure{exitConfig, cfg.Errorf("admin.listen", "has no unix socket to connect to")}
		}
		return client.New(path), nil
	}
	for _, file := range usualConfigs {
		// A file that is not there, or not one of ours, says nothing; nor does one with a mistake, which is not what runs.
		if cfg, err := config.Load(file); err == nil && socketOf(cfg) != "" {
			return client.New(socketOf(cfg)), nil
		}
	}
	return client.New(usualSocket), nil
}

// socketOf gives the first unix socket of the admin API, or "".
func socketOf(cfg *config.Config) string {
	for _, a := range cfg.Admin.Listen {
		if a.Network == "unix" {
			return a.Path
		}
	}
	return ""
}
