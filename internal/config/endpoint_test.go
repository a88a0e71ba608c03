package config

import (
	"net/netip"
	"testing"
)

func TestCheckEndpoint(t *testing.T) {
	for text, good := range map[string]bool{
		"10.0.0.1:80": true, "127.0.0.1:1": true, "[::1]:65535": true, "[fe80::1%eth0]:80": true, "[::ffff:10.0.0.1]:80": true,
		"10.0.0.255:80": true, "240.0.0.1:80": true, "0.0.0.1:80": true,
		"10.0.0.1:0": false, "[::1]:0": false, "0.0.0.0:80": false, "[::]:80": false, "[::ffff:0.0.0.0]:80": false,
		"224.0.0.1:80": false, "239.255.255.255:80": false, "[ff02::1%eth0]:80": false, "[ff0e::1]:80": false, "[fe80::1]:80": false, "[febf::1]:80": false,
		"169.254.0.1:80": true, "[fec0::1]:80": true, "[::ffff:224.0.0.1]:80": false,
		"255.255.255.255:80": false, "[::ffff:255.255.255.255]:80": false,
	} {
		if err := CheckEndpoint(netip.MustParseAddrPort(text)); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
