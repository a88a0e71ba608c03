package harness

import (
	"bufio"
	"crypto/sha256"
	"io"
	"net"
	"strings"

	"tcp-proxy/internal/testkit"
)

// Echo starts a target that sends back what it reads, and finishes after the client.
func (r *Rig) Echo() *Target {
	r.T.Helper()
	return r.Serve(echo)
}

// EchoAt is Echo on that address.
func (r *Rig) EchoAt(address string) *Target {
	r.T.Helper()
	return r.ServeAt(address, echo)
}

func echo(c *Conn) {
	if _, err := io.Copy(c.Conn, c); err == nil {
		_ = c.Finish() // or the client is gone
	}
}

// Sink starts a target that reads to the end and then answers with the SHA-256 of it.
func (r *Rig) Sink() *Target {
	r.T.Helper()
	return r.Serve(func(c *Conn) {
		sum := sha256.New()
		if _, err := io.Copy(sum, c); err == nil {
			_, _ = c.Write(sum.Sum(nil)) // or the client is gone
		}
	})
}

// Sum is the answer of a sink to the data.
func Sum(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// Identify starts a target that sends its name and waits until the client has finished.
func (r *Rig) Identify(name string) *Target {
	r.T.Helper()
	return r.IdentifyAt(name, r.Address())
}

// IdentifyAt is Identify on that address.
func (r *Rig) IdentifyAt(name, address string) *Target {
	r.T.Helper()
	return r.ServeAt(address, func(c *Conn) {
		if _, err := io.WriteString(c, name+"\n"); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	})
}

// Name reads the name of the target that a connection has reached.
func (c *Conn) Name() (string, error) {
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// Ask connects to the address, returns the name of the target at the other end, and closes in order.
func (r *Rig) Ask(address string) (string, error) {
	c, err := r.TryDial(address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	name, err := c.Name()
	if err != nil {
		return "", err
	}
	if err := c.Finish(); err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, c)
	return name, err
}

// Resetter starts a target that resets every connection at once.
func (r *Rig) Resetter() *Target {
	r.T.Helper()
	return r.Serve(func(c *Conn) {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = testkit.Reset(tcp)
		}
	})
}

// Stall starts a target that accepts and never reads.
func (r *Rig) Stall() *Target {
	r.T.Helper()
	return r.Listen()
}

// Refuse returns an address where nobody listens.
func (r *Rig) Refuse() string {
	return r.Address()
}
