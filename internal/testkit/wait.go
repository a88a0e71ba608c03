package testkit

import (
	"fmt"
	"testing"
	"time"
)

// Timeout is how long anything in a test may take before the test fails. It is far beyond what anything takes, and says
// nothing about how long it should take.
const Timeout = time.Minute

// Within polls until the condition holds and reports whether it did before the limit. The condition is checked at least
// once, and once more at the limit. The pauses between checks grow from one millisecond to ten.
func Within(limit time.Duration, condition func() bool) bool {
	const longest = 10 * time.Millisecond
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(pause*5/4, longest) {
		late := time.Now().After(deadline)
		if condition() {
			return true
		}
		if late {
			return false
		}
		time.Sleep(pause)
	}
}

// Eventually polls until the condition holds, and fails the test if it does not within Timeout. What the
// functions of state return then says in the failure how far it got.
func Eventually(t testing.TB, what string, condition func() bool, state ...func() any) {
	t.Helper()
	if !Within(Timeout, condition) {
		t.Fatalf("waited %v: %s%s", Timeout, what, describe(state))
	}
}

// EventuallyEqual polls until read returns what is wanted, and fails the test with the last value if it does not within
// Timeout.
func EventuallyEqual[T comparable](t testing.TB, what string, read func() T, want T) {
	t.Helper()
	var last T
	if !Within(Timeout, func() bool { last = read(); return last == want }) {
		t.Fatalf("waited %v: %s: %v, want %v", Timeout, what, last, want)
	}
}

// Receive returns the next value of a channel, or its zero value once it is closed. It fails the test if neither comes
// within Timeout.
func Receive[T any](t testing.TB, what string, from <-chan T, state ...func() any) T {
	t.Helper()
	timer := time.NewTimer(Timeout)
	defer timer.Stop()
	select {
	case value := <-from:
		return value
	case <-timer.C:
		t.Fatalf("waited %v: %s%s", Timeout, what, describe(state))
		panic("unreachable")
	}
}

func describe(state []func() any) (text string) {
	for _, f := range state {
		text += fmt.Sprintf("; %v", f())
	}
	return text
}
