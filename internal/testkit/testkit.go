// Package testkit is what the tests of several packages need: waiting for an event with a deadline, counting what a
// process holds, running a test in a process of its own, and targets that do not answer. Only tests import it, and the
// packages below tests/ that serve them.
package testkit
