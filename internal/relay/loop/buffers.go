package loop

// bufferSize is how many bytes are read at once, and the most that a flow holds whose receiver is slow, unless it is spliced.
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

// giveBuffer takes a buffer back. A larger one was made to unload a pipe and is left to the garbage collector.
func (l *loop) giveBuffer(b []byte) {
	switch {
	case cap(b) > bufferSize:
		l.unloaded -= cap(b)
	case cap(b) == bufferSize && len(l.spare) < spareBuffers:
		l.spare = append(l.spare, b[:0])
	}
}
