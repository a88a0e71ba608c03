package admin

import (
	"encoding/json"
	"path/filepath"
	"sync"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
)

// ConfigVersion is the version of the JSON of Config, which changes as that of a proxy.Snapshot does.
const ConfigVersion = 1

// Config is the active configuration as text, for people. Its JSON is the body of /api/v1/config.
type Config struct {
	Version     int          `json:"version"`
	File        string       `json:"file"` // or directory: an absolute path
	ActiveSince time.Time    `json:"active_since"`
	OnDisk      OnDisk       `json:"on_disk"`
	Overrides   []Override   `json:"overrides"` // by the command line
	Files       []ConfigFile `json:"files"`     // one, or those of the directory, in their order
}

// Override is a key that the command line overrides.
type Override struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// ConfigFile is one file, as it was read, except for what is config.Redacted.
type ConfigFile struct {
	File string `json:"file"` // an absolute path
	Text string `json:"text"`
}

// OnDisk says whether the file or directory is still as it was read.
type OnDisk string

// The values of OnDisk.
const (
	OnDiskSame    OnDisk = "same"
	OnDiskChanged OnDisk = "changed" // also if it cannot be read
	OnDiskUnknown OnDisk = "unknown" // reading it takes too long
)

// runningConfig renders the active configuration, once for all requests until it changes.
type runningConfig struct {
	disk disk

	mu      sync.Mutex // held while rendering; requests that come meanwhile get the result
	of      proxy.Running
	onDisk  OnDisk
	current body
}

// render returns the body for r.
func (c *runningConfig) render(r proxy.Running, gzipped bool) ([]byte, error) {
	onDisk := c.disk.compare(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current.plain == nil || c.of != r || c.onDisk != onDisk {
		text, err := json.Marshal(describeConfig(r, onDisk))
		if err != nil {
			return nil, err
		}
		c.of, c.onDisk, c.current = r, onDisk, body{plain: append(text, '\n')}
	}
	return c.current.in(gzipped), nil
}

func describeConfig(r proxy.Running, onDisk OnDisk) Config {
	c := Config{
		Version: ConfigVersion, File: absolute(r.File), ActiveSince: r.Since, OnDisk: onDisk,
		Overrides: []Override{}, Files: []ConfigFile{},
	}
	for _, o := range r.Config.Overrides() {
		c.Overrides = append(c.Overrides, Override(o))
	}
	for _, f := range r.Config.Text() {
		c.Files = append(c.Files, ConfigFile{absolute(f.Path), f.Text})
	}
	return c
}

// absolute makes a path absolute, if the working directory is known.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// The time for which a checksum of the file on the disk is used, and the time that a request waits for one.
const (
	sumAge      = time.Second
	sumPatience = 500 * time.Millisecond
)

// disk knows the checksum of a file or directory. At most one goroutine reads it, so a file system that hangs costs no more
// than that. The zero value knows nothing yet.
type disk struct {
	mu      sync.Mutex
	reading chan struct{} // closed when the read in progress ends; nil: none
	path    string        // that sum is of; "": there is none
	sum     [32]byte
	began   time.Time // when the read of sum began
}

// compare compares the file on the disk with what was read.
func (d *disk) compare(r proxy.Running) OnDisk {
	sum, ok := d.read(r)
	switch {
	case !ok:
		return OnDiskUnknown
	case sum != r.Config.Sum():
		return OnDiskChanged
	}
	return OnDiskSame
}

// read returns a checksum that was made since r is active and is not older than sumAge, and false if there is none in time.
func (d *disk) read(r proxy.Running) (sum [32]byte, ok bool) {
	timeout := time.NewTimer(sumPatience)
	defer timeout.Stop()
	for {
		d.mu.Lock()
		if d.path == r.File && time.Since(d.began) < sumAge && d.began.After(r.Since) {
			defer d.mu.Unlock()
			return d.sum, true
		}
		if d.reading == nil {
			d.reading = make(chan struct{})
			go d.makeSum(r.File, d.reading)
		}
		ended := d.reading
		d.mu.Unlock()
		select {
		case <-ended:
		case <-timeout.C:
			return sum, false
		}
	}
}

// makeSum is the goroutine of a read. It ends when the file was read, which may outlive the server.
func (d *disk) makeSum(path string, ended chan struct{}) {
	began := time.Now()
	sum := config.Sum(path)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.path, d.sum, d.began, d.reading = path, sum, began, nil
	close(ended)
}
