package view

import (
	"fmt"
	"strings"
	"time"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/sanitize"
)

// Config writes the active configuration: each file after comments that say where it comes from, so that all of it is still
// JSON with comments. On a terminal, what could control the terminal is escaped.
func Config(c *admin.Config, terminal bool) string {
	var b strings.Builder
	for i, f := range c.Files {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "// %s, active since %s\n", clean(f.File), c.ActiveSince.Local().Format(time.RFC3339))
		if i == 0 {
			for _, o := range c.Overrides {
				fmt.Fprintf(&b, "// The command line overrides %s: %s\n", clean(o.Key), clean(o.Value))
			}
		}
		text := strings.TrimSuffix(f.Text, "\n") + "\n"
		if terminal {
			text = printable(text)
		}
		b.WriteString(text)
	}
	return b.String()
}

// printable escapes everything but the printable characters of a text, its lines and its tabs.
func printable(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		words := strings.Split(line, "\t")
		for j, word := range words {
			words[j] = sanitize.Text(word, len(word)*mostEscaped)
		}
		lines[i] = strings.Join(words, "\t")
	}
	return strings.Join(lines, "\n")
}

// mostEscaped is how many bytes an escaped byte takes at most.
const mostEscaped = 10

// OnDisk says what an operator should know of the file on the disk; "" is nothing.
func OnDisk(c *admin.Config) string {
	switch c.OnDisk {
	case admin.OnDiskChanged:
		return fmt.Sprintf("%s differs from the active configuration above, or cannot be read; tcp-proxy reload applies it", clean(c.File))
	case admin.OnDiskUnknown:
		return fmt.Sprintf("reading %s takes too long: it may differ from the active configuration above", clean(c.File))
	}
	return ""
}
