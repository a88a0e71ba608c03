package proxy

import (
	"time"

	"tcp-proxy/internal/config"
)

// Running is the active configuration, and where it comes from.
type Running struct {
	Config *config.Config
	File   string    // the file or directory that it was read from, as it was given
	Since  time.Time // when it became the active one
}
