package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
)

// talk checks that the peer gives its name, sends back what it gets, and finishes when the client has.
func talk(conn net.Conn, name string) error {
	reader := bufio.NewReader(conn)
	got, err := reader.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the name of the target: %w", err)
	}
	if got != name+"\n" {
		return fmt.Errorf("target %q, want %q", got, name)
	}
	if _, err := io.WriteString(conn, "ping\n"); err != nil {
		return err
	}
	if got, err = reader.ReadString('\n'); err != nil || got != "ping\n" {
		return fmt.Errorf("echo %q: %v", got, err)
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("a %T cannot finish", conn)
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	if rest, err := io.ReadAll(reader); err != nil || len(rest) > 0 {
		return fmt.Errorf("after the end: %q, %v", rest, err)
	}
	return nil
}
