package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tcp-proxy/internal/proxy"
)

// sessionColumns are the columns of a list of sessions, by their headings; those of numbers are flush right.
var sessionColumns = []struct {
	heading string
	right   bool
	of      func(*proxy.Session) string
}{
	{"SESSION", true, func(s *proxy.Session) string { return strconv.FormatUint(s.ID, 10) }},
	{"AGE", true, func(s *proxy.Session) string { return spanOf(s.Age) }},
	{"IDLE", true, func(s *proxy.Session) string {
		if s.Idle == nil {
			return "-"
		}
		return spanOf(*s.Idle)
	}},
	{"UP", true, func(s *proxy.Session) string { return scaled(float64(s.Upload), "B") }},
	{"DOWN", true, func(s *proxy.Session) string { return scaled(float64(s.Download), "B") }},
	{"STATE", false, func(s *proxy.Session) string { return string(s.State) }},
	{"APP", false, func(s *proxy.Session) string { return s.App }},
	{"PORT", false, portOf},
	{"CLIENT", false, func(s *proxy.Session) string {
		if s.Peer != "" {
			return s.Client + " by " + s.Peer
		}
		return s.Client
	}},
	{"TARGET", false, func(s *proxy.Session) string {
		if s.Target == "" {
			return "-"
		}
		return s.Target
	}},
}

// portOf is the port of a session, with the address of a socket of systemd.
func portOf(s *proxy.Session) string {
	if s.Address == "" {
		return s.Port
	}
	label, _ := socketsOf([]proxy.Port{{Name: s.Port, Address: s.Address, Systemd: true}})
	return label
}

// Sessions writes a list of sessions as a table, and below it how many there are.
func Sessions(list *proxy.Sessions, o Options) string {
	p := &painter{Options: o}
	if list.Problem != "" {
		p.para("", red, list.Problem)
	}
	if len(list.Sessions) > 0 {
		p.sessionTable(list.Sessions)
	}
	p.para("", plain, sessionCounts(list))
	return p.text.String()
}

// sessionTable writes the rows, each cut to the width of the terminal.
func (p *painter) sessionTable(sessions []proxy.Session) {
	rows := make([][]string, 1+len(sessions))
	widths := make([]int, len(sessionColumns))
	for i := range rows {
		for n, column := range sessionColumns {
			cell := column.heading
			if i > 0 {
				cell = clean(column.of(&sessions[i-1]))
			}
			rows[i] = append(rows[i], cell)
			widths[n] = max(widths[n], length(cell))
		}
	}
	for i, cells := range rows {
		var line strings.Builder
		for n, cell := range cells {
			space := strings.Repeat(" ", widths[n]-length(cell))
			if sessionColumns[n].right {
				cell, space = space+cell, ""
			}
			line.WriteString(cell + space + "  ")
		}
		text := strings.TrimRight(line.String(), " ")
		if p.Width > 0 && length(text) > p.Width {
			text = string([]rune(text)[:p.Width-1]) + "…"
		}
		if i == 0 {
			text = p.dye(faint, text)
		}
		p.line(text)
	}
}

// sessionCounts says how many sessions there are, and how many of them are not in a list.
func sessionCounts(list *proxy.Sessions) string {
	open := count(list.Open, "session") + " open"
	if list.Matching != list.Open {
		open += fmt.Sprintf(", %d of them match", list.Matching)
	}
	if list.LeftOut > 0 {
		open += fmt.Sprintf("; these are the %d that have been open longest, %d are left out", len(list.Sessions), list.LeftOut)
	}
	return open
}

// spanOf is span of a number of seconds.
func spanOf(seconds float64) string { return span(time.Duration(seconds * float64(time.Second))) }
