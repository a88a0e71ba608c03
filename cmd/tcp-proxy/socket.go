package main

import (
	"github.com/spf13/cobra"

	"tcp-proxy/internal/admin/client"
	"tcp-proxy/internal/config"
)

// If the command line does not say which proxy to connect to, the unix socket in the first of these configurations that has one is
// used, otherwise usualSocket, the one of the packages. The directory is there only if an administrator has made it, the
// packaged file also beside it.
var usualConfigs = []string{defaultFile, packagedDirectory, packagedConfig}

const usualSocket = "/run/tcp-proxy/admin.sock"

// remote is the flags by which a command finds the running proxy.
type remote struct{ socket, file string }

func (r *remote) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.socket, "socket", "", "the admin socket of the proxy (default: the one in the configuration, else "+usualSocket+")")
	cmd.Flags().StringVar(&r.file, configFile, "", "the configuration of the running proxy, a file or a directory (default: "+defaultFile+", else "+packagedDirectory+", else "+packagedConfig+")")
}

// client makes a client of the running proxy.
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
		// A file that is missing or invalid is ignored: it cannot be the configuration of the running proxy.
		if cfg, err := config.Load(file); err == nil && socketOf(cfg) != "" {
			return client.New(socketOf(cfg)), nil
		}
	}
	return client.New(usualSocket), nil
}

// socketOf returns the path of the first unix socket of the admin API, or "".
func socketOf(cfg *config.Config) string {
	for _, a := range cfg.Admin.Listen {
		if a.Network == "unix" {
			return a.Path
		}
	}
	return ""
}
