package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// drawing is an SVG picture. Its colours follow the reader's light or dark scheme.
type drawing struct {
	width, height float64
	body          strings.Builder
}

const svgStyle = `
svg { color-scheme: light dark; font: 13px system-ui, sans-serif }
.ink { fill: #57606a } .dim { fill: #6e7781; font-size: 11px } .rule { stroke: #d1d9e0 }
.c0 { color: #7d8590 } .c1 { color: #0969da } .c2 { color: #54aeff } .c3 { color: #bc4c00 } .c4 { color: #2f8f3a } .c5 { color: #8250df }
.bar { fill: currentColor } .line { stroke: currentColor; fill: none; stroke-width: 2 } .dot { fill: currentColor }
@media (prefers-color-scheme: dark) {
.ink { fill: #e6edf3 } .dim { fill: #9198a1 } .rule { stroke: #3d444d }
.c0 { color: #8b949e } .c1 { color: #388bfd } .c2 { color: #79c0ff } .c3 { color: #f0883e } .c4 { color: #56d364 } .c5 { color: #bc8cff }
}
`

func (d *drawing) text(x, y float64, class, anchor, s string) {
	fmt.Fprintf(&d.body, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">%s</text>\n", x, y, class, anchor, html.EscapeString(s))
}

func (d *drawing) bar(x, y, w, h float64, colour int) {
	fmt.Fprintf(&d.body, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\" class=\"bar c%d\"/>\n", x, y, w, h, colour)
}

func (d *drawing) rule(x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.body, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"rule\"/>\n", x1, y1, x2, y2)
}

type point struct{ x, y float64 }

// line joins points and marks each.
func (d *drawing) line(points []point, colour int) {
	var at []string
	for _, p := range points {
		at = append(at, fmt.Sprintf("%.1f,%.1f", p.x, p.y))
	}
	fmt.Fprintf(&d.body, "<polyline points=\"%s\" class=\"line c%d\"/>\n", strings.Join(at, " "), colour)
	for _, p := range points {
		fmt.Fprintf(&d.body, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" class=\"dot c%d\"/>\n", p.x, p.y, colour)
	}
}

func (d *drawing) String() string {
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\">\n<style>%s</style>\n%s</svg>\n",
		d.width, d.height, d.width, d.height, svgStyle, d.body.String())
}

// tick returns a round number, 1, 2 or 5 times a power of ten, that divides a range into no more than about five steps.
func tick(span float64) float64 {
	if span <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(span/5)))
	for _, f := range []float64{1, 2, 5, 10} {
		if span/(unit*f) <= 5 {
			return unit * f
		}
	}
	return unit * 10
}
