package logging

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/sanitize"
	"tcp-proxy/internal/systemd"
)

// mostLine is the length of the lines that Fail writes, in bytes. A path (4096 bytes, PATH_MAX) fits.
const mostLine = 8 << 10

// Fail writes to standard error why the process ends: as an entry of priority 3 (error) if that is the journal, otherwise as
// plain text. It returns after flushTimeout at the latest, even if standard error blocks; the goroutine that writes ends
// with the process.
func Fail(err error) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		writeFailure(err)
	}()
	late := time.NewTimer(flushTimeout)
	defer late.Stop()
	select {
	case <-written:
	case <-late.C:
	}
}

func writeFailure(err error) {
	text := sanitize.Lines(err.Error(), mostLine)
	if systemd.StderrIsJournal() {
		if to, openErr := openJournal(os.Stderr); openErr == nil {
			e := &entry{level: Error, message: text}
			if errors.Is(err, unix.EADDRINUSE) {
				e.fields = Fields{EventKey: PortInUse}
			}
			_ = to.write(e) // there is nowhere left to report an error
			return
		}
	}
	fmt.Fprintln(os.Stderr, text)
}
