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

	taken []func() // the loop's own: the orders before; the two change places
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

// post has the loop call order, after those that were posted before. It does not block.
func (b *inbox) post(order func()) {
	b.mu.Lock()
	b.orders = append(b.orders, order)
	ring := !b.rung
	b.rung = true
	b.mu.Unlock()
	if ring {
		b.bell.Ring()
	}
}

// empty does what was posted.
func (b *inbox) empty() {
	b.mu.Lock()
	b.orders, b.taken = b.taken[:0], b.orders
	b.rung = false
	b.mu.Unlock()
	for i, order := range b.taken {
		b.taken[i] = nil
		order()
	}
}
