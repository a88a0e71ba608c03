package harness

import "testing"

// Engines are the engines that every behavioural test runs against.
var Engines = []string{"copy", "loop"}

// EachEngine runs the test once for every engine, side by side with other tests.
func EachEngine(t *testing.T, test func(t *testing.T, engine string)) {
	t.Parallel()
	for _, engine := range Engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

// EachEngineAlone is EachEngine for tests that need the machine for themselves.
func EachEngineAlone(t *testing.T, test func(t *testing.T, engine string)) {
	for _, engine := range Engines {
		t.Run(engine, func(t *testing.T) { test(t, engine) })
	}
}
