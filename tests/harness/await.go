package harness

import (
	"testing"
	"time"

	"tcp-proxy/internal/testkit"
)

// Timeout is how long anything in a test may take before the test fails. It says nothing about how long it should take.
const Timeout = testkit.Timeout

// Eventually polls until the condition holds, and fails the test if it does not within Timeout. What the functions of
// state return then says in the failure how far it got.
func Eventually(t testing.TB, what string, condition func() bool, state ...func() any) {
	t.Helper()
	testkit.Eventually(t, what, condition, state...)
}

func within(limit time.Duration, condition func() bool) bool { return testkit.Within(limit, condition) }
