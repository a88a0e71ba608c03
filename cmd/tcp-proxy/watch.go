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

// What a terminal is told (xterm's control sequences): a screen of its own without a cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	restOfLine  = "\x1b[K"
	restOfPage  = "\x1b[J"
)

// watch shows the status every second, in place on a terminal, else one after the other. A proxy that cannot be asked
// is said to be so, and asked again: it may be on its way back.
func (s *shown) watch(ctx context.Context) error {
	_, _, terminal := sizeOf(s.out)
	if terminal {
		if _, err := io.WriteString(s.out, enterScreen); err != nil {
			return err
		}
		defer io.WriteString(s.out, leaveScreen) // there is nobody left to tell
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

// page draws a text over what a screen of that many rows shows. What does not fit is counted.
func page(text string, rows int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if rows > 1 && len(lines) > rows {
		more := len(lines) - (rows - 1)
		lines = append(lines[:rows-1:rows-1], fmt.Sprintf("… %d more lines: name an app to see it alone", more))
	}
	return home + strings.Join(lines, restOfLine+"\n") + restOfLine + restOfPage
}

// sizeOf gives the size of the terminal that something is written to, if it is one.
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

// widthOf is how wide a text may be: 0, as wide as it likes, where there is no terminal.
func widthOf(w io.Writer) int {
	columns, _, terminal := sizeOf(w)
	if terminal && columns == 0 {
		return 80 // it does not say
	}
	return columns
}

// colourful reports whether to write in colour: to a terminal that can, and whose user does not object
// (https://no-color.org).
func colourful(w io.Writer) bool {
	_, _, terminal := sizeOf(w)
	return terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
