package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

// Control sequences of xterm. enterScreen switches to the alternate screen and hides the cursor; leaveScreen undoes that.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	restOfLine  = "\x1b[K"
	restOfPage  = "\x1b[J"
)

// watch prints the status every second: on a terminal in place, otherwise one after the other. If a request fails, it prints
// the error and goes on, since the proxy may be restarting.
func (s *shown) watch(ctx context.Context) error {
	_, _, terminal := sizeOf(s.out)
	if terminal {
		if _, err := io.WriteString(s.out, enterScreen); err != nil {
			return err
		}
		defer io.WriteString(s.out, leaveScreen) // an error of the terminal cannot be shown
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	for {
		text, err := s.text(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			text, s.before = err.Error()+"\n", nil
		}
		if terminal {
			_, rows, _ := sizeOf(s.out)
			text = page(text, rows)
		} else {
			text += "\n"
		}
		if _, err := io.WriteString(s.out, text); err != nil {
			return err
		}
		if !pause(ctx, resized) {
			return nil
		}
	}
}

// page formats a text to overwrite a screen with that many rows. Lines that do not fit are counted.
func page(text string, rows int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if rows > 1 && len(lines) > rows {
		more := len(lines) - (rows - 1)
		lines = append(lines[:rows-1:rows-1], fmt.Sprintf("… %d more lines: name an app to see it alone", more))
	}
	return home + strings.Join(lines, restOfLine+"\n") + restOfLine + restOfPage
}

// sizeOf returns the size of the terminal that w writes to, if it is one.
func sizeOf(w io.Writer) (columns, rows int, terminal bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	return int(size.Col), int(size.Row), true
}

// widthOf returns the columns of a terminal; 0, for no limit, if w is not one.
func widthOf(w io.Writer) int {
	columns, _, terminal := sizeOf(w)
	if terminal && columns == 0 {
		return 80 // the terminal does not report its size
	}
	return columns
}

// colourful reports whether to use colours: on a terminal that has them, unless NO_COLOR is set (https://no-color.org).
func colourful(w io.Writer) bool {
	_, _, terminal := sizeOf(w)
	return terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
