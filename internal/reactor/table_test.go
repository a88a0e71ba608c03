package reactor

import "testing"

// A slot that is used again has another key, and the key of the use before finds nothing.
func TestTable(t *testing.T) {
	var table Table[int]
	n, v := table.Acquire()
	*v = 7
	key := table.Key(n)
	if n != 0 || table.Find(key) != v || table.At(n) != v || !table.InUse(n) {
		t.Fatalf("slot %d is not found by %x", n, key)
	}
	for tag := range 4 {
		if tagged := key | uint64(tag); table.Find(tagged) != v || Tag(tagged) != tag || tagged >= Special {
			t.Errorf("tag %d of %x", Tag(tagged), tagged)
		}
	}
	table.Release(n)
	if table.Find(key) != nil || table.InUse(n) {
		t.Error("a slot that was given back is found")
	}
	again, w := table.Acquire()
	if again != n || w != v || *w != 7 {
		t.Errorf("slot %d with %d is taken, want the one that was given back", again, *w)
	}
	if table.Find(key) != nil || table.Find(table.Key(n)) != w {
		t.Error("the use before is found in place of this one")
	}
	key = table.Key(n)
	table.Renew(n)
	if table.Find(key) != nil || table.Find(table.Key(n)) != w || *w != 7 || !table.InUse(n) {
		t.Error("a slot that was renewed is found by its key of before, or not by that of now")
	}
}

// Values stay where they are while the table grows, and every slot is its own.
func TestTableGrows(t *testing.T) {
	var table Table[int32]
	where := map[int32]*int32{}
	for i := range int32(5*chunk + 1) {
		n, v := table.Acquire()
		if n != i {
			t.Fatalf("slot %d is taken, want %d", n, i)
		}
		*v, where[n] = n, v
	}
	for n, v := range where {
		if table.At(n) != v || *v != n || table.Find(table.Key(n)) != v {
			t.Errorf("slot %d has moved", n)
		}
	}
	if table.Size() != 6*chunk {
		t.Errorf("%d slots", table.Size())
	}
	used := 0
	for n := range int32(table.Size()) {
		if table.InUse(n) {
			used++
		}
	}
	if used != len(where) {
		t.Errorf("%d slots are in use, want %d", used, len(where))
	}
}

// No use of a slot, however many there were before, has a key that is special.
func TestTableGenerationsComeRound(t *testing.T) {
	var table Table[int]
	n, _ := table.Acquire()
	table.slots.At(n).generation = 1<<32 - 3
	last := table.Key(n)
	table.Release(n)
	table.Acquire()
	if key := table.Key(n); key >= Special || key == last || table.Find(key) == nil || !table.InUse(n) || table.Find(last) != nil {
		t.Errorf("the key after %x is %x", last, key)
	}
}
