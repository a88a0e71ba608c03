package loop

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// inbox is how other goroutines have something done by a loop.
type inbox struct {
	bell *linux.Bell

	mu     sync.Mutex // guards what follows
	orders []func()
	rung   bool
	closed bool

	// The loop's own: the orders before, and how many of them are done. The two lists change places.
	taken []func()
	done  int
}

func (b *inbox) open(epoll *linux.Epoll) error {
	var err error
	if b.bell, err = linux.NewBell(); err != nil {
		return err
	}
	if err := epoll.Add(b.bell.FD(), unix.EPOLLIN|unix.EPOLLET, bell); err != nil {
		return errors.Join(err, b.bell.Close())
	}
	return nil
}

// post has the loop call order, after those that were posted before. It does not block. Once the inbox is closed, nobody
// calls it.
func (b *inbox) post(order func()) {
	b.mu.Lock()
	defer b.mu.Unlock() // close comes before the ring or after it
	if b.closed {
		return
	}
	b.orders = append(b.orders, order)
	if !b.rung {
		b.rung = true
		b.bell.Ring()
	}
}

// fetch takes what was posted, unless something that was taken before is still to be done.
func (b *inbox) fetch() {
	if b.left() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders, b.taken, b.done = b.taken[:0], b.orders, 0
	b.rung = false
}

// left reports whether there is an order that was taken and is not done.
func (b *inbox) left() bool { return b.done < len(b.taken) }

// do does the next order of those that were taken.
func (b *inbox) do() {
	order := b.taken[b.done]
	b.taken[b.done] = nil
	b.done++
	order()
}

// close gives the bell back. The loop does not run, or no more; others may still post.
func (b *inbox) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.orders = true, nil
	return b.bell.Close()
}
