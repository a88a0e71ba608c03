package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// knownEngines are tried in this order when none is named.
var knownEngines = []string{"loop", "copy"}

// engines returns a contestant for each engine of tcp-proxy: those that were named, or those that the binary accepts.
// A binary that was not named is built into dir, as a release is; the working directory must be in the module.
func engines(o options, dir string) ([]contestant, error) {
	binary := o.binary
	if binary == "" {
		binary = filepath.Join(dir, "tcp-proxy")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "tcp-proxy/cmd/tcp-proxy")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build: %s: %w", out, err)
		}
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	version, err := firstLine(binary, "version")
	if err != nil {
		return nil, err
	}
	var found []contestant
	for _, engine := range knownEngines {
		if o.engines != nil && !slices.Contains(o.engines, engine) {
			continue
		}
		if accepts(binary, engine, dir) {
			found = append(found, tcpProxy(binary, engine, version))
		}
	}
	for _, engine := range o.engines {
		if !slices.ContainsFunc(found, func(c contestant) bool { return c.name == engine }) {
			return nil, fmt.Errorf("%s accepts no engine %q", binary, engine)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("tcp-proxy accepts none of the known engines")
	}
	return found, nil
}

// accepts reports whether a configuration with this engine passes tcp-proxy's own check.
func accepts(binary, engine, dir string) bool {
	file := filepath.Join(dir, "engine-"+engine+".json")
	text := fmt.Sprintf(`{"engine": %q, "apps": [{"ports": ["127.0.0.1:1"], "targets": ["127.0.0.1:2"]}]}`, engine)
	if os.WriteFile(file, []byte(text), 0o644) != nil {
		return false
	}
	return exec.Command(binary, "check", "--config-file", file).Run() == nil
}

func tcpProxy(binary, engine, version string) contestant {
	return contestant{name: engine, role: roleOurs, version: version, command: func(s site) (*exec.Cmd, error) {
		file, err := tcpProxyConfig(s)
		if err != nil {
			return nil, err
		}
		return exec.Command(binary, "run", "--config-file", file, "--engine", engine, "--log-level", "warning"), nil
	}}
}

func tcpProxyConfig(s site) (string, error) {
	var targets []string
	for _, t := range s.targets {
		targets = append(targets, t.String())
	}
	text, err := json.MarshalIndent(map[string]any{
		"max_workers": s.capacity(),
		"log":         map[string]any{"sessions": false},
		"apps": []any{map[string]any{
			"name":    "bench",
			"ports":   []string{s.listen.String()},
			"targets": targets,
		}},
	}, "", "  ")
	if err != nil {
		return "", err
	}
	return s.write("config.json", string(text))
}
