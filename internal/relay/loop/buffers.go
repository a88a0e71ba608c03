package loop

// bufferSize is how much is read at once, and what a flow that is not spliced holds at most when its receiver is slow.
const bufferSize = 64 << 10

// spareBuffers is how many buffers a loop keeps for the next flow that has to hold something.
const spareBuffers = 16

// takeBuffer returns an empty buffer of bufferSize.
func (l *loop) takeBuffer() []byte {
	last := len(l.spare) - 1
	if last < 0 {
		return make([]byte, 0, bufferSize)
	}
	b := l.spare[last]
	l.spare = l.spare[:last]
	return b
}

// giveBuffer takes one back. A larger one was made to unload a pipe, and is left to the garbage collector.
func (l *loop) giveBuffer(b []byte) {
	switch {
	case cap(b) > bufferSize:
		l.unloaded -= cap(b)
	case cap(b) == bufferSize && len(l.spare) < spareBuffers:
		l.spare = append(l.spare, b[:0])
	}
}
