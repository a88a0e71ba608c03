package harness

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A Record is the log record of one session.
type Record struct {
	Level        string `json:"level"`
	Session      uint64 `json:"session"` // its ID
	App          string `json:"app"`
	Port         string `json:"port"`
	Client       string `json:"client"`
	Peer         string `json:"peer"` // who connected, if that is not the client
	Target       string `json:"target"`
	Attempts     int    `json:"attempts"`
	ConnectUsec  int64  `json:"connect_usec"`
	DurationUsec int64  `json:"duration_usec"`
	BytesUp      int64  `json:"bytes_up"`
	BytesDown    int64  `json:"bytes_down"`
	Cause        string `json:"cause"`
	Refused      string `json:"refused"` // what the app had against the client
	Error        string `json:"error"`
}

// Records waits for the records of n sessions and returns all records so far, in the order of the log.
func (p *Proxy) Records(n int) []Record {
	p.t.Helper()
	enough := within(Timeout, func() bool { return p.Log.Count(session) >= n })
	records := p.RecordsNow()
	if !enough {
		p.t.Fatalf("%d session records, want %d", len(records), n)
	}
	return records
}

// RecordsNow returns the records so far.
func (p *Proxy) RecordsNow() []Record {
	p.t.Helper()
	var records []Record
	for _, line := range p.Log.Lines(session) {
		record, _, err := line.Record()
		if err != nil {
			p.t.Fatal(err)
		}
		records = append(records, record)
	}
	return records
}

// Record returns the record that the line is, if it is one.
func (l Line) Record() (record Record, ok bool, err error) {
	if !session(l) {
		return record, false, nil
	}
	if err := json.Unmarshal([]byte(l.Raw), &record); err != nil {
		return record, false, fmt.Errorf("session record %s: %w", l.Raw, err)
	}
	return record, true, nil
}

// RecordOf waits for the record of the session of that TCP client.
func (p *Proxy) RecordOf(client *Conn) Record {
	p.t.Helper()
	return p.RecordOfAddress(client.LocalAddr().String())
}

// RecordOfAddress waits for the record of the session of the TCP client with that address.
func (p *Proxy) RecordOfAddress(client string) Record {
	p.t.Helper()
	var found Record
	Eventually(p.t, "the session record of "+client, func() bool {
		for _, record := range p.RecordsNow() {
			if record.Client == client {
				found = record
				return true
			}
		}
		return false
	})
	return found
}

// ExpectCause waits for the record of the session of a TCP client and compares its cause.
func (p *Proxy) ExpectCause(client *Conn, cause string) Record {
	p.t.Helper()
	record := p.RecordOf(client)
	if record.Cause != cause {
		p.t.Fatalf("cause = %s, want %s", record.Cause, cause)
	}
	return record
}

func session(line Line) bool { return strings.HasPrefix(line.Message, "session") }
