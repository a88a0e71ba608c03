package hostile

import "tcp-proxy/tests/peers"

// A kind is one kind of client: a function that runs one session and returns its expected record, or an error.
type kind struct {
	name  string
	share int // how many of all sessions, by the sum of the shares
	at    func(app) bool
	visit func(*visit) (peers.Truth, error)
}

func anywhere(a app) bool   { return !a.strict }
func everywhere(app) bool   { return true }
func overTCP(a app) bool    { return !a.strict && !a.unix }
func atStrict(a app) bool   { return a.strict && !a.rough }
func atRough(a app) bool    { return a.rough }
func atHeaders(a app) bool  { return a.header }
func unlimited(a app) bool  { return !a.strict && !a.limited }
func quickly(a app) bool    { return !a.strict && !a.slow }
func quicklyTCP(a app) bool { return quickly(a) && !a.unix }

// kinds are all kinds of clients.
var kinds = []kind{
	{"check", 40, anywhere, check},
	{"segments", 3, anywhere, segments},
	{"stalled", 2, func(a app) bool { return unlimited(a) && !a.slow }, stalled},
	{"many extensions", 2, atHeaders, manyExtensions},

	{"connect and close", 8, everywhere, connectAndClose},
	{"connect and reset", 8, everywhere, connectAndReset},
	{"send and reset", 8, anywhere, sendAndReset},
	{"send and close", 4, anywhere, sendAndClose},
	{"finish and reset", 4, anywhere, finishAndReset},
	{"reset mid-stream", 4, quickly, resetMidStream},
	{"urgent", 3, quicklyTCP, urgent},
	{"deaf", 2, overTCP, deaf},
	{"guest of hostile targets", 8, atRough, guest},

	{"header bomb", 3, atHeaders, headerBomb},
	{"noise for a header", 2, atHeaders, noiseForHeader},
	{"half a header", 2, atHeaders, halfHeader},
	{"long header", 1, atHeaders, longHeader},

	{"silent", 1, atStrict, silent},
	{"trickle", 1, atStrict, trickle},
	{"never reads", 1, atStrict, neverRead},
	{"sip", 1, atStrict, sip},
	{"half and stay", 1, atStrict, halfAndStay},
	{"vanish", 1, atStrict, vanish},
}

// draw chooses a kind and an app for it.
func (s *scene) draw(v *visit) *kind {
	sum := 0
	for i := range kinds {
		sum += kinds[i].share
	}
	n := v.random.IntN(sum)
	k := &kinds[0]
	for i := range kinds {
		if n -= kinds[i].share; n < 0 {
			k = &kinds[i]
			break
		}
	}
	for { // every kind has an app
		if a := &s.apps[v.random.IntN(len(s.apps))]; k.at(*a) {
			v.app = a
			return k
		}
	}
}
