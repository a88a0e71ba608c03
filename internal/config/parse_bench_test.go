package config

import (
	"fmt"
	"strings"
	"testing"
)

// manyApps returns a configuration of 1,000 apps with 10 targets each.
func manyApps() []byte {
	var b strings.Builder
	b.WriteString(`{"apps": [` + "\n")
	for i := range 1000 {
		fmt.Fprintf(&b, `{"name": "app-%d", "ports": [%d], "connect_timeout": "2s", "keepalive": {"idle": "30s"}, "targets": [`, i, 5000+i)
		for j := range 10 {
			fmt.Fprintf(&b, `{"address": "10.%d.%d.%d:80", "weight": %d}, `, i/256, i%256, j, j+1)
		}
		b.WriteString("]},\n")
	}
	b.WriteString("]}\n")
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for name, data := range map[string][]byte{
		"1000 apps":     manyApps(),
		"65535 sockets": []byte(`{"apps": [{"ports": ["1-65535"], "targets": ["a:1"]}]}`),
		"50000 errors":  []byte(`{"apps": [{"targets": ["a:1"], "ports": [` + strings.Repeat("5001, ", 50000) + `]}]}`),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				Parse("f", data)
			}
		})
	}
}
