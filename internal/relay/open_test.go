package relay

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestOpenWaitsForTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o Open
		if err := o.Wait(t.Context()); err != nil {
			t.Fatalf("with none open: %v", err)
		}
		o.Enter()
		o.Enter()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := o.Wait(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is done: %v", err)
		}
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- o.Wait(t.Context()) }()
		}
		o.Leave()
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("it does not wait for the last")
		}
		o.Leave()
		synctest.Wait()
		if len(done) != 2 || <-done != nil || <-done != nil {
			t.Fatal("not everybody is told")
		}
	})
}
