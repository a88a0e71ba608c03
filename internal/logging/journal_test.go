package logging

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/systemd"
)

// toFake makes a journal that sends by a function.
func toFake(send func([]systemd.Field) error) (journal, *bytes.Buffer) {
	var fallback bytes.Buffer
	return journal{send, &fallback}, &fallback
}

func TestJournalFields(t *testing.T) {
	var got []string
	log, fallback := toFake(func(fields []systemd.Field) error {
		for _, f := range fields {
			got = append(got, f.Name+"="+f.Value)
		}
		return nil
	})
	if err := log.write(newEntry(Warn, "target is dead", Fields{EventKey: TargetDead, "app": "web", "bytes_up": int64(7),
		"target": "10.0.0.1:80", ErrorKey: errors.New("no route")})); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := []string{
		"APP=web",
		"BYTES_UP=7",
		"ERROR=no route",
		"EVENT=target_dead",
		"MESSAGE=target is dead app=web bytes_up=7 target=10.0.0.1:80: no route",
		"MESSAGE_ID=" + TargetDead.MessageID(),
		"PRIORITY=4",
		"SYSLOG_IDENTIFIER=tcp-proxy",
		"TARGET=10.0.0.1:80",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if fallback.Len() > 0 {
		t.Errorf("written to the fallback: %q", fallback)
	}
}

func TestJournalPriorities(t *testing.T) {
	var got []string
	log, _ := toFake(func(fields []systemd.Field) error {
		got = append(got, fields[1].Value)
		return nil
	})
	for _, level := range []Level{Debug, Info, Warn, Error} {
		if err := log.write(newEntry(level, "so", nil)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"7", "6", "4", "3"}; !slices.Equal(got, want) {
		t.Errorf("priorities %v, want %v", got, want)
	}
}

// Entries that cannot be sent to the journal go to the fallback.
func TestJournalFull(t *testing.T) {
	log, fallback := toFake(func([]systemd.Field) error { return errors.New("full") })
	if err := log.write(&entry{level: Warn, message: "first\nsecond", fields: Fields{"app": "two words"}}); err != nil {
		t.Errorf("it went to the fallback: %v", err)
	}
	if got, want := fallback.String(), "<4>first\n<4>second app=\"two words\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFieldName(t *testing.T) {
	if got, want := fieldName("connect_usec.Max-1"), "CONNECT_USEC_MAX_1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEveryEventHasItsOwnID(t *testing.T) {
	seen := map[string]Event{}
	for _, e := range Events() {
		id := e.MessageID()
		if other, taken := seen[id]; taken || len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
			t.Errorf("event %s has the ID %q, event %q too", e, id, other)
		}
		seen[id] = e
	}
	if len(seen) != len(messageIDs) {
		t.Errorf("%d events, %d IDs", len(seen), len(messageIDs))
	}
}

func BenchmarkJournalRecord(b *testing.B) {
	log, _ := toFake(func([]systemd.Field) error { return nil })
	b.ReportAllocs()
	for b.Loop() {
		log.write(newEntry(Info, "session ended: client_closed", Fields{
			"app": "web", "port": "5001", "client": "10.1.2.3:45678", "target": "10.0.0.1:80", "attempts": 1,
			"connect_usec": int64(120), "duration_usec": int64(123456), "bytes_up": int64(1), "bytes_down": int64(2),
			"cause": "client_closed",
		}))
	}
}

// Without a journal, the format journal is an error.
func TestNoJournal(t *testing.T) {
	if j, err := systemd.OpenJournal(); err == nil {
		j.Close()
		t.Skip("this machine has a journal")
	}
	_, err := New(&bytes.Buffer{}, config.Log{Level: "info", Format: "journal"})
	if want := "log format journal: open the journal: "; err == nil || !strings.HasPrefix(fmt.Sprint(err), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}
