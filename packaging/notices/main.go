// Command notices prints the licenses of everything that is linked into tcp-proxy: of Go and its standard library, of every
// module, and of files with a notice of their own. It reads the module cache and GOROOT, which have all of it once the
// program has been built; it needs no network.
//
//	go run ./packaging/notices -format debian   # debian/copyright: the machine-readable format 1.0 (DEP-5)
//	go run ./packaging/notices -format text     # every text in full: for RPMs, container images and archives
//
// It fails if a part has no license, or one that it does not know: then somebody has to read it.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	format := flag.String("format", "text", "debian or text")
	flag.Parse()
	if err := run(*format); err != nil {
		fmt.Fprintf(os.Stderr, "notices: %v\n", err)
		os.Exit(1)
	}
}

func run(format string) error {
	parts, err := collect("tcp-proxy/cmd/tcp-proxy")
	if err != nil {
		return err
	}
	switch format {
	case "debian":
		_, err = os.Stdout.WriteString(debian(parts))
	case "text":
		_, err = os.Stdout.WriteString(text(parts))
	default:
		err = fmt.Errorf("there is no format %q", format)
	}
	return err
}
