package resolve

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestConf(t *testing.T) {
	const both = "[127.0.0.1:53 [::1]:53]"
	for _, c := range []struct{ what, text, servers, search, rest string }{
		{"nothing", "", both, "own", "1 5s 2"},
		{"usual", "# by hand\n; or not\nnameserver 10.0.0.53\nnameserver fd00::53\nsearch a.internal B.internal.\noptions ndots:2 timeout:1 attempts:3\n",
			"[10.0.0.53:53 [fd00::53]:53]", "[a.internal. b.internal.]", "2 1s 3"},
		{"the last of domain and search", "search a b\ndomain c d\n", both, "[c.]", "1 5s 2"},
		{"no domain", "search .\n", both, "[]", "1 5s 2"},
		{"comments at the end", "nameserver 10.0.0.53 # main\nsearch a # b\n", "[10.0.0.53:53]", "[a.]", "1 5s 2"},
		{"a zone", "nameserver fe80::1%eth0\n", "[[fe80::1%eth0]:53]", "own", "1 5s 2"},
		{"too many, and bad ones", "nameserver\nnameserver dns.internal\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
			"[10.0.0.1:53 10.0.0.2:53 10.0.0.3:53]", "own", "1 5s 2"},
		{"too much", "options ndots:99 timeout:99 attempts:99\n", both, "own", "15 30s 5"},
		{"too little", "options ndots:-1 timeout:0 attempts:0\n", both, "own", "0 1s 1"},
		{"no numbers", "options ndots: timeout:x attempts\n", both, "own", "1 5s 2"},
		{"more options", "options rotate use-vc edns0 trust-ad\n", both, "own", "1 5s 2 rotate stream"},
		{"a timeout that overflows", "options timeout:9223372036854775807\n", both, "own", "1 30s 2"},
	} {
		got := parseConf(c.text)
		rest := fmt.Sprint(got.ndots, " ", got.timeout, " ", got.attempts)
		if got.rotate {
			rest += " rotate"
		}
		if got.useTCP {
			rest += " stream"
		}
		search := fmt.Sprint(got.search)
		if c.search == "own" {
			c.search = fmt.Sprint(localDomain())
		}
		if servers := fmt.Sprint(got.servers); servers != c.servers || search != c.search || rest != c.rest {
			t.Errorf("%s: %s %s %s, want %s %s %s", c.what, servers, search, rest, c.servers, c.search, c.rest)
		}
	}
}

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		ndots              int
		search, name, want string
	}{
		{1, "a. b.", "web", "web.a. web.b. web."},
		{1, "a. b.", "web.x", "web.x. web.x.a. web.x.b."},
		{2, "a.", "web.x", "web.x.a. web.x."},
		{0, "a.", "web", "web. web.a."},
		{1, "a.", "WEB.x.", "web.x."},
		{1, "", "web", "web."},
		{1, "a.", "x.onion", "x.onion.a."},
		{1, "onion.", "x.onion.", ""},
		{1, "a.", strings.Repeat("a123456789.", 22) + "01234567890", strings.Repeat("a123456789.", 22) + "01234567890."},
		{1, "a.", strings.Repeat("a123456789.", 24), ""},
	} {
		conf := conf{ndots: c.ndots, search: strings.Fields(c.search)}
		if got := strings.Join(conf.candidates(c.name), " "); got != c.want {
			t.Errorf("%s with %q, ndots %d: %q, want %q", c.name, c.search, c.ndots, got, c.want)
		}
	}
}

func TestHosts(t *testing.T) {
	table := parseHosts(`127.0.0.1 localhost # web
# 10.0.0.9 web
10.0.0.2	WEB.internal web web.
10.0.0.1 web
fe80::1%eth0 web
::ffff:10.0.0.3 web
not-an-address web
10.0.0.300 web
10.0.0.4
`)
	for name, want := range map[string]string{
		"web": "[10.0.0.1 10.0.0.2 10.0.0.3 fe80::1%eth0]", "Web.": "[10.0.0.1 10.0.0.2 10.0.0.3 fe80::1%eth0]", "web.internal": "[10.0.0.2]",
		"localhost": "[127.0.0.1]", "a.localhost": "[127.0.0.1 ::1]", "notlocalhost": "[]", "#": "[]",
	} {
		if got := fmt.Sprint(table.lookUp(name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if a, b := table.lookUp("web"), table.lookUp("web"); !slices.Equal(a, b) {
		t.Errorf("%v, and then %v", a, b)
	}
}

// A file is read again after each kind of change, and only then.
func TestFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	reads := 0
	f := &file[string]{path: path, parse: func(text string) string { reads++; return text }}
	expect := func(want string) {
		t.Helper()
		if got := f.get(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	now := time.Now()
	write := func(path, text string, old time.Duration) {
		t.Helper()
		at := now.Add(-old)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	expect("") // it does not exist
	write(path, "one", time.Hour)
	expect("one")
	reads = 0
	expect("one")
	if reads != 0 {
		t.Error("the file is read again without a change")
	}
	write(path, "two", time.Minute) // in place
	expect("two")
	write(path, "six", 0)
	expect("six")
	write(path, "ten", 0) // within the granularity of the clock
	expect("ten")
	write(path+".new", "new", time.Minute)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	expect("new")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("")
	if err := syscall.Mkfifo(path, 0o644); err != nil { // without a writer
		t.Fatal(err)
	}
	expect("")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(path+".elsewhere", "link", time.Hour)
	if err := os.Symlink(path+".elsewhere", path); err != nil {
		t.Fatal(err)
	}
	expect("link")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(path, strings.Repeat("x", maxFile), time.Hour)
	if n := len(f.get()); n != maxFile {
		t.Errorf("%d bytes are read", n)
	}
	write(path, strings.Repeat("x", maxFile+1), time.Minute)
	expect("") // not its beginning, which might end within an address
}

// The next lookup after a change of the file asks the new server.
func TestChangesOfResolvConf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	f := &file[conf]{path: path, parse: parseConf}
	for _, server := range []string{"10.0.0.1", "10.0.0.2"} {
		if err := os.WriteFile(path, []byte("nameserver "+server+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(f.get().servers); got != "["+server+":53]" {
			t.Error(got)
		}
	}
	if reflect.DeepEqual(f.get(), parseConf("")) {
		t.Error("the file is not read")
	}
}
