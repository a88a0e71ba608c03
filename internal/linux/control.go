package linux

import (
	"errors"
	"fmt"
	"syscall"
)

// Control calls f with the descriptor of conn, a connection or listener of package net, which stays open meanwhile; f
// must not keep it.
func Control(conn any, f func(fd int) error) error {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a %T has no descriptor", conn)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var fErr error
	err = raw.Control(func(fd uintptr) { fErr = f(int(fd)) })
	return errors.Join(err, fErr)
}
