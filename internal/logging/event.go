package logging

// Event is the value of the field EventKey, of entries that the message catalog explains. In the journal such an entry has a
// MESSAGE_ID, by which journalctl -x finds the explanation.
type Event string

// EventKey is the field of an entry's Event.
const EventKey = "event"

// The events of the catalog.
const (
	TargetDead    Event = "target_dead"
	TargetBack    Event = "target_back"
	PoolFull      Event = "pool_full"
	ReloadRefused Event = "reload_refused"
	PortInUse     Event = "port_in_use"
	NameFailing   Event = "name_failing"
	NameBack      Event = "name_back"
	Refusals      Event = "refusals"
)

var messageIDs = map[Event]string{
	TargetDead:    "f9267e8ad0014ea2a3f8df76b244b94e",
	TargetBack:    "37ec3919fa6f481fa5d716eca8dabc05",
	PoolFull:      "b2198d024ab14426a104140dbfe332f4",
	ReloadRefused: "8aa9bf9879d64daaa1530a5862bc5592",
	PortInUse:     "dd847cb9d83246409c44c0d626be7d1c",
	NameFailing:   "7a3c4308ac544cccb5f77e9dd66114b0",
	NameBack:      "a351847014164663b5d73cc49b6b09c4",
	Refusals:      "8a99619d1f9e4af9859ce09d56d4e62f",
}

// Events lists the events of the catalog.
func Events() []Event {
	return []Event{TargetDead, TargetBack, PoolFull, ReloadRefused, PortInUse, NameFailing, NameBack, Refusals}
}

// MessageID is the event's MESSAGE_ID in the journal (systemd.journal-fields(7)).
func (e Event) MessageID() string { return messageIDs[e] }
