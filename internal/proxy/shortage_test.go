package proxy

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/relay"
)

var noDescriptor = os.NewSyscallError("socket", unix.EMFILE)

// fail makes connects of three targets of an app fail many times, for lack of descriptors.
func (n *logged) fail(route *relay.Route) {
	for range 1000 {
		for _, x := range n.targets[:3] {
			n.connectFailed(route, x, noDescriptor, false)
		}
	}
}

// kinds lists the events: their kind, app and reason.
func (n *logged) kinds() (all []string) {
	for _, e := range n.history.read() {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.App, e.Reason)))
	}
	return all
}

func (n *logged) expectKinds(want ...string) {
	n.Helper()
	if got := n.kinds(); !slices.Equal(got, want) {
		n.Errorf("events %q, want %q", got, want)
	}
}

func (n *logged) expectLasting(want ...string) {
	n.Helper()
	var got []string
	lasting, _ := n.shortages.read()
	for _, x := range lasting {
		got = append(got, strings.TrimSpace(x.Kind+" "+x.App))
	}
	if !slices.Equal(got, want) {
		n.Errorf("current shortages %q, want %q", got, want)
	}
}

// A lack of descriptors for connects is reported: in the log at intervals, by one event for each app, and in the
// status while it lasts, even if a connect succeeds now and then. Then its end is reported.
func TestShortageIsReported(t *testing.T) { synctest.Test(t, shortageIsReported) }

func shortageIsReported(t *testing.T) {
	n := newLogged(t, "info")
	web, mail := &relay.Route{App: "web"}, &relay.Route{App: "mail"}
	begun := time.Now()
	n.connected(web)
	for range 5 {
		n.fail(web)
		time.Sleep(time.Second)
		n.connected(web)
		n.connected(mail)
	}
	n.fail(mail)
	n.expectKinds("connect_failing web socket: too many open files", "connect_failing mail socket: too many open files")
	n.expectLasting("connect web", "connect mail")
	lasting, total := n.shortages.read()
	if x := lasting[0]; !x.Since.Equal(begun) || !x.Last.Equal(begun.Add(4*time.Second)) || x.Problem != noDescriptor.Error() {
		t.Errorf("%+v", x)
	}
	if total["connect"] != 6*3000 || total["session"] != 0 || total["pipe"] != 0 {
		t.Errorf("counted %v", total)
	}
	time.Sleep(settleTime - time.Second)
	synctest.Wait()
	n.connected(mail)
	n.expectLasting("connect mail")
	n.expectKinds("connect_failing web socket: too many open files", "connect_failing mail socket: too many open files", "connect_resumed web")
	if got := len(n.lines("connect failed for a local reason")); got < 2 || got > 4 { // for each app at once, and the number left out
		t.Errorf("logged %d times", got)
	}
	if got := n.lines("no more connects fail"); len(got) != 1 || got[0].App != "web" {
		t.Errorf("the end: %+v", got)
	}
}

// A shortage ends when nothing has failed for a minute, even if nothing has succeeded; the next failure begins another.
func TestShortageEndsWithoutFailures(t *testing.T) { synctest.Test(t, shortageEndsWithoutFailures) }

func shortageEndsWithoutFailures(t *testing.T) {
	n := newLogged(t, "info")
	web := &relay.Route{App: "web"}
	n.fail(web)
	time.Sleep(forgetTime - time.Second)
	n.fail(web)
	time.Sleep(forgetTime - time.Second)
	synctest.Wait()
	n.expectLasting("connect web")
	time.Sleep(time.Second)
	synctest.Wait()
	n.expectLasting()
	n.fail(web)
	why := " web socket: too many open files"
	n.expectKinds("connect_failing"+why, "connect_resumed web", "connect_failing"+why)
	n.shortages.stop()
	time.Sleep(2 * forgetTime)
	synctest.Wait()
	n.expectKinds("connect_failing"+why, "connect_resumed web", "connect_failing"+why)
	if got := n.lines("no more connects"); len(got) != 1 {
		t.Errorf("the end: %+v", got)
	}
}

// There is one shortage for each kind: resources of sessions, and pipes, which belong to no app.
func TestShortagesOfEachKind(t *testing.T) { synctest.Test(t, shortagesOfEachKind) }

func shortagesOfEachKind(t *testing.T) {
	n := newLogged(t, "info")
	web := &relay.Route{App: "web"}
	for range 100 {
		n.short(relay.LackSession, web, unix.ENOSPC)
		n.short(relay.LackPipe, nil, unix.EPERM)
	}
	n.expectLasting("pipe", "session web")
	time.Sleep(settleTime)
	n.works(relay.LackPipe, nil)
	synctest.Wait()
	n.expectLasting("session web")
	n.connected(web)
	synctest.Wait()
	n.expectLasting()
	n.expectKinds("shortage web no space left on device", "shortage  operation not permitted", "shortage_over", "shortage_over web")
	for _, what := range []string{"session failed for", "cannot create pipe", "no more sessions fail", "pipes can be created again"} {
		if len(n.lines(what)) == 0 {
			t.Errorf("the log has no line of %q", what)
		}
	}
}
