package enginetest

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// urgent sends bytes of which the last is urgent, and so out of band (tcp(7)).
func (r *rig) urgent(to stream, p string) {
	r.Helper()
	raw, err := to.SyscallConn()
	if err != nil {
		r.Fatal(err)
	}
	var sendErr error
	if err := raw.Write(func(fd uintptr) bool {
		sendErr = unix.Send(int(fd), []byte(p), unix.MSG_OOB)
		return sendErr != unix.EAGAIN
	}); err != nil {
		r.Fatal(err)
	}
	if sendErr != nil {
		r.Fatal(sendErr)
	}
}

// Urgent data makes reads short, and is dropped. What comes behind it must not wait for more to come.
func TestUrgentData(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		client, server := r.session()
		for range 100 {
			r.urgent(client, "before!")
			if _, err := client.Write([]byte("behind")); err != nil {
				r.Fatal(err)
			}
			got := make([]byte, len("beforebehind"))
			if _, err := io.ReadFull(server, got); err != nil || string(got) != "beforebehind" {
				r.Fatalf("%q, %v", got, err)
			}
		}
		r.finish(client, server)
	})
}

// Urgent data that is there before there is a session is no other.
func TestUrgentDataBeforeAccepted(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		for i := range 40 {
			release := r.take()
			client := r.dial()
			if _, err := client.Write([]byte("before")); err != nil {
				r.Fatal(err)
			}
			r.urgent(client, "!")
			if _, err := client.Write([]byte("behind")); err != nil {
				r.Fatal(err)
			}
			finished := i%2 == 0
			if finished {
				client.CloseWrite()
			}
			release()
			server := r.accept()
			got := make([]byte, len("beforebehind"))
			if _, err := io.ReadFull(server, got); err != nil || string(got) != "beforebehind" {
				r.Fatalf("finished %v: %q, %v", finished, got, err)
			}
			r.finish(client, server)
		}
	})
}

// splice(2) does not go past urgent data. What comes behind it arrives all the same, whether the side has finished or
// not.
func TestUrgentDataWhileSplicing(t *testing.T) {
	const each = 3_000_000
	eachTCP(t, nil, func(r *rig) {
		for i := range 6 {
			client, server := r.session()
			err := both(func() error {
				p := pattern(1)
				chunk := make([]byte, 50_000)
				for sent := 0; sent < 2*each; sent += len(chunk) {
					if sent == each {
						r.urgent(client, "!")
					}
					p.Read(chunk)
					if _, err := client.Write(chunk); err != nil {
						return err
					}
				}
				if i%2 == 0 {
					return client.CloseWrite()
				}
				return nil
			}, func() error { return receive(server, 1, 2*each) })
			if err != nil {
				r.Fatal(err)
			}
			r.finish(client, server)
		}
	})
}
