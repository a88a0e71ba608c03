package harness

import (
	"strconv"

	"tcp-proxy/internal/testkit"
)

// Blackhole starts a target to which a connect neither succeeds nor fails.
func (r *Rig) Blackhole() string {
	r.T.Helper()
	address := r.Address()
	r.BlackholeAt(address)
	return address
}

// BlackholeAt is Blackhole on that address; the port 0 is any that is free. It returns the port.
func (r *Rig) BlackholeAt(address string) (port string) {
	r.T.Helper()
	return strconv.Itoa(int(testkit.NewBlackhole(r.T, address).Addr.Port()))
}
