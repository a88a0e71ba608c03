// Command serve has the admin API, with the status page, show a node that is none: go run ./tests/fakenode/serve
package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/tests/fakenode"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9901", "an address, or unix:PATH")
	apps := flag.Int("apps", 5, "how many apps")
	targets := flag.Int("targets", 10, "how many targets each has")
	flag.Parse()
	if err := run(*listen, *apps, *targets); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(listen string, apps, targets int) error {
	var address config.AdminAddress
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		address = config.AdminAddress{Network: "unix", Path: path}
	} else {
		at, err := netip.ParseAddrPort(listen)
		if err != nil {
			return err
		}
		address = config.AdminAddress{Network: "tcp", Addr: at}
	}
	node := fakenode.New(apps, targets)
	node.SetSessions(fakenode.Crowd(500)...)
	s := admin.New(node, "development", logging.Discard())
	plan, err := s.Prepare([]config.AdminAddress{address})
	if err != nil {
		return err
	}
	plan.Commit()
	fmt.Println("serving on", listen)
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	<-stop.Done()
	s.Close(context.Background())
	return nil
}
