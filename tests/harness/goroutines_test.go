package harness

import (
	"maps"
	"testing"
)

func TestParseDump(t *testing.T) {
	const dump = `{"level":"info","msg":"goroutine 9 [this is no dump]:"}
SIGQUIT: quit
PC=0x4a1 m=0 sigcode=0

goroutine 0 gp=0x9e m=0 mp=0x9f [idle]:
runtime.futex(0x9e, 0x80)
	/go/sys_linux_amd64.s:558 +0x21

goroutine 1 gp=0xc0 m=nil [select, 2 minutes]:
runtime.gopark(0xc0?, 0x2?)
	/go/proc.go:402 +0xce
main.main()
	/src/main.go:12 +0x1d

goroutine 7 gp=0xc1 m=nil [IO wait]:
net.(*conn).Read(0xc0)
	/go/net.go:1
example/relay.(*session).copy(...)
	/src/relay.go:44
created by example/relay.(*session).run in goroutine 6
	/src/relay.go:20 +0x45

goroutine 8 gp=0xc2 m=3 mp=0xc3 [running]:
	goroutine running on other thread; stack unavailable
created by example/relay.(*session).run in goroutine 6
	/src/relay.go:20 +0x45

goroutine 18 gp=0xc4 m=nil [force gc (idle)]:
runtime.forcegchelper()
	/go/proc.go:1
runtime.goexit({})
	/go/asm_amd64.s:1695 +0x1
created by runtime.init.6 in goroutine 1
	/go/proc.go:310 +0x1a

rax    0xca
`
	want := map[string]int{"example/relay.(*session).run": 2, "main.main": 1}
	got := map[string]int{}
	for kind, stacks := range parseDump(dump) {
		got[kind] = len(stacks)
	}
	if !maps.Equal(got, want) {
		t.Errorf("kinds %v, want %v", got, want)
	}
}
