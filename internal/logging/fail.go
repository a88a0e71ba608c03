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

// mostLine is how long a line is that Fail writes, in bytes. It has room for the path of a file.
const mostLine = 8 << 10

// Fail says on standard error why the process ends: as an entry of priority 3 (error) where that is the journal, else as
// plain text. It returns after flushTimeout at the latest, whether standard error takes the text or not: the process ends
// then, and with it the goroutine that writes.
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
			_ = to.write(e) // there is nobody left to tell
			return
		}
	}
	fmt.Fprintln(os.Stderr, text)
}
