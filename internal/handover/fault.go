package handover

import "fmt"

// Error is why a state cannot be read. Its text is one sentence, without text from the state itself.
type Error struct {
	Kind Kind
	text string
}

// Error implements error.
func (e *Error) Error() string { return e.text }

// Kind is a kind of Error, as a metric can name it.
type Kind string

// The kinds.
const (
	NotAState     Kind = "not_a_state"    // the magic is another
	UnknownFormat Kind = "unknown_format" // the major is another: another release has written it
	OtherBoot     Kind = "other_boot"     // the machine was started since
	WrongChecksum Kind = "wrong_checksum" // it is clean, and not as it was written
	Damaged       Kind = "damaged"        // cut short, or it contradicts itself
)

func fault(kind Kind, format string, values ...any) error {
	return &Error{kind, fmt.Sprintf(format, values...)}
}
