package peers

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The greeting is the first bytes of a client and tells the target what to do. In a session with a plan, the target first
// sends the greeting back, so that both sides know the session.
const greetingLength = 16

// What a target does with a connection.
type Order byte

const (
	Play  Order = 'p' // the plan of the session with that number
	Echo  Order = 'e' // send back what comes, and finish when the client has
	Sink  Order = 's' // read to the end, then finish
	Flood Order = 'f' // send without end, and read nothing
	Hold  Order = 'h' // neither read nor write
)

// Greeting writes a greeting; the number is that of a session, for Play.
func Greeting(order Order, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("greeti"), byte(order), '!'), number)
}

// readGreeting reads a greeting. Anything else is an error.
func readGreeting(r io.Reader) (Order, uint64, error) {
	g := make([]byte, greetingLength)
	if n, err := io.ReadFull(r, g); err != nil {
		return 0, 0, fmt.Errorf("%d bytes of a greeting: %w", n, err)
	}
	if string(g[:6]) != "greeti" || g[7] != '!' {
		return 0, 0, fmt.Errorf("%q is no greeting", g)
	}
	return Order(g[6]), binary.BigEndian.Uint64(g[8:]), nil
}
