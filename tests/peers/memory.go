package peers

import (
	"testing"

	"tcp-proxy/tests/harness"
)

// A Memory is how large a proxy is: what the kernel has given it, and the heap at which its garbage collector runs next,
// twice what was alive when it last ran.
type Memory struct{ Resident, Heap int64 }

// Weigh waits until the proxy is at rest and reads its memory.
func Weigh(t testing.TB, p *harness.Proxy, admin string) Memory {
	t.Helper()
	p.Settle()
	metrics, err := harness.Metrics(admin)
	if err != nil {
		t.Fatal(err)
	}
	return Memory{p.Resident(), int64(metrics["go_memstats_next_gc_bytes"])}
}

// CompareMemory wants the proxy to be as large as it was once its caches and pools were warm, give or take what a garbage
// collector does.
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
