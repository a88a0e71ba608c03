package main

import (
	"maps"
	"testing"
)

const straceTable = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 56.10    0.000175           0       400           recvfrom
 30.00    0.000090           0       120         7 accept4
 13.90    0.000040          40         1           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.000305           0       521         7 total
`

func TestParseStrace(t *testing.T) {
	got, err := parseStrace(straceTable)
	if want := map[string]int{"recvfrom": 400, "accept4": 120, "epoll_wait": 1}; err != nil || !maps.Equal(got, want) {
		t.Errorf("parseStrace = %v, %v, want %v", got, err, want)
	}
	if got, err := parseStrace(""); err != nil || len(got) != 0 {
		t.Errorf("parseStrace of nothing = %v, %v", got, err)
	}
	if _, err := parseStrace("1.0 2.0 3 many read\n"); err == nil {
		t.Error("a count that is no number is no error")
	}
}

func TestPerConnection(t *testing.T) {
	got := perConnection(map[string]int{"read": 400, "nanosleep": 130, "futex": 20}, map[string]int{"nanosleep": 15, "futex": 10}, 2, 100)
	if want := map[string]float64{"read": 4, "nanosleep": 1}; !maps.Equal(got, want) {
		t.Errorf("perConnection = %v, want %v", got, want)
	}
	if got := callList(got); got != "read 4.00, nanosleep 1.00" {
		t.Errorf("callList = %q", got)
	}
}
