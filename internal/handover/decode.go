package handover

// Decode reads a state of this start of the machine. The error is an *Error. Of a state that is not clean it leaves out the
// records that are not complete, and counts them as Torn; in a clean one such a record is an error.
//
// Pending bytes of the result are parts of b, which must not change while they are used. Its strings are parts of one copy of
// the text.
func Decode(b []byte, boot BootID) (*State, error) {
	h, b, table, err := parse(b, boot)
	if err != nil {
		return nil, err
	}
	d := decoder{b: b, table: table, state: &State{Header: h}}
	d.fields.reading = true
	d.fields.read = &textReader{all: string(table.bytes(b, text))}
	d.fields.contents = table.bytes(b, pending)
	d.fields.attempts, d.fields.stride = table.bytes(b, attempts), max(table[attempts].size, 1)
	if err := d.records(); err != nil {
		return nil, err
	}
	d.state.Unread = d.state.Notes.read(table.bytes(b, notes))
	return d.state, nil
}

// decoder reads the sections of a state.
type decoder struct {
	b       []byte
	table   *sections
	state   *State
	scratch [scratchSize]byte
	fields  fields
}

func (d *decoder) records() (err error) {
	s := d.state
	if s.Routes, err = readPlaces[Route](d, routes); err != nil {
		return err
	}
	if s.Targets, err = readPlaces[Target](d, targets); err != nil {
		return err
	}
	if s.Ports, err = readPlaces[Port](d, ports); err != nil {
		return err
	}
	if err = d.sessions(); err != nil {
		return err
	}
	return d.checkSessions()
}

// readPlaces reads a section whose records are known by their index. Free places at its end are left out.
func readPlaces[T any, P recordOf[T]](d *decoder, k kind) ([]T, error) {
	n := d.table[k].count()
	for n > 0 && conditionOf(d.table.record(d.b, k, n-1)) == free {
		n--
	}
	list, last := make([]T, n), 0 // a record takes at least 12 bytes of b
	for i := range list {
		v := P(&list[i])
		is, err := d.record(k, i, v)
		if err == nil && is && !v.used() {
			is, err = false, d.torn(k, i, "it has no app")
		}
		if err != nil {
			return nil, err
		}
		if is {
			last = i + 1
		} else {
			list[i] = *new(T)
		}
	}
	if last == 0 {
		return nil, nil
	}
	return list[:last], nil
}

// record reads record i of a section. It reports false if there is none.
func (d *decoder) record(k kind, i int, r record) (bool, error) {
	place := d.table.record(d.b, k, i)
	switch conditionOf(place) {
	case free:
		return false, nil
	case torn:
		return false, d.torn(k, i, "its checksum is wrong")
	}
	readRecord(&d.fields, place, d.scratch[:sizes[k]], r)
	if lack := d.fields.lack; lack != "" {
		return false, d.torn(k, i, lack)
	}
	return true, nil
}

// torn counts a record that cannot be used, which is an error if the state is clean.
func (d *decoder) torn(k kind, i int, lack string) error {
	if d.state.Clean {
		return fault(Damaged, "the stored state is damaged in record %d of its %s: %s", i, names[k], lack)
	}
	d.state.Torn++
	return nil
}

func (d *decoder) sessions() error {
	s, v, n := d.state, Session{}, 0
	for i := range d.table[sessions].count() {
		n += int(d.table.record(d.b, sessions, i)[atValid] & 1)
	}
	list := make([]Session, 0, n) // a record takes at least 12 bytes of b
	for i := range d.table[sessions].count() {
		v = Session{}
		is, err := d.record(sessions, i, &v)
		if err != nil {
			return err
		}
		if !is {
			continue
		}
		if lack := v.lack(s.has); lack != "" {
			if err := d.torn(sessions, i, lack); err != nil {
				return err
			}
			continue
		}
		list = append(list, v)
	}
	if len(list) > 0 {
		s.Sessions = list
	}
	return nil
}

// checkSessions checks what must be different in every session. No kill of a writer can make that equal.
func (d *decoder) checkSessions() error {
	list := d.state.Sessions
	sockets, ids, held := make(map[uint64]struct{}, 2*len(list)), make(map[uint64]struct{}, len(list)), 0
	for i := range list {
		s := &list[i]
		ids[s.ID] = struct{}{}
		if len(ids) != i+1 {
			return fault(Damaged, "the stored state is damaged: two of its sessions have the ID %d", s.ID)
		}
		for n := range s.Side {
			cookie := s.Side[n].Cookie
			if cookie == 0 {
				continue
			}
			if _, again := sockets[cookie]; again {
				return fault(Damaged, "the stored state is damaged: the socket with the cookie %d is in it twice", cookie)
			}
			sockets[cookie] = struct{}{}
		}
		held += len(s.Flow[Client].Pending) + len(s.Flow[Server].Pending)
		if held > len(d.fields.contents) {
			return fault(Damaged, "the stored state is damaged: its sessions have more pending bytes than there are")
		}
	}
	return nil
}
