package linux

import "testing"

func TestEphemeral(t *testing.T) {
	if e, err := ReadEphemeral(); err != nil || e.First == 0 || e.Last < e.First {
		t.Errorf("%+v, %v", e, err)
	}
	reserved, err := parseReserved("40000,40010-40012\n")
	if err != nil {
		t.Fatal(err)
	}
	e := Ephemeral{First: 32768, Last: 60999, reserved: reserved}
	for port, want := range map[uint16]bool{32767: false, 32768: true, 39999: true, 40000: false, 40001: true, 40010: false, 40012: false, 40013: true, 60999: true, 61000: false} {
		if e.Has(port) != want {
			t.Errorf("%d: not %v", port, want)
		}
	}
	if none, err := parseReserved("\n"); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
	for _, bad := range []string{"a", "1-b", "70000"} {
		if _, err := parseReserved(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
