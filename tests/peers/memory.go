package peers

import (
	"testing"

	"tcp-proxy/tests/harness"
)

// A Memory is the size of a proxy: its resident memory, and the heap size at which its garbage collector runs next, which
// is twice what was alive after the last run.
type Memory struct{ Resident, Heap int64 }

// Weigh waits until the proxy is idle and reads its memory.
func Weigh(t testing.TB, p *harness.Proxy, admin string) Memory {
	t.Helper()
	p.Settle()
	metrics, err := harness.Metrics(admin)
	if err != nil {
		t.Fatal(err)
	}
	return Memory{p.Resident(), int64(metrics["go_memstats_next_gc_bytes"])}
}

// CompareMemory checks that the memory of the proxy has not grown since its caches and pools were warm, within the
// tolerance of a garbage collector.
func CompareMemory(t testing.TB, warm, now Memory) {
	t.Helper()
	t.Logf("memory: %d MiB resident, %d once it was warm; a heap of up to %d MiB, %d", now.Resident>>20, warm.Resident>>20, now.Heap>>20, warm.Heap>>20)
	if now.Resident > warm.Resident+warm.Resident/4+16<<20 {
		t.Errorf("%d MiB resident, %d once it was warm", now.Resident>>20, warm.Resident>>20)
	}
	if now.Heap > 2*warm.Heap+8<<20 {
		t.Errorf("a heap of %d MiB, %d once it was warm", now.Heap>>20, warm.Heap>>20)
	}
}
