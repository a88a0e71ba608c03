package harness

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
)

// A Pattern is an endless stream of bytes that never repeats and depends only on the seed: an AES-CTR key stream.
type Pattern struct{ stream cipher.Stream }

// NewPattern starts the stream of a seed.
func NewPattern(seed uint64) *Pattern {
	key := binary.BigEndian.AppendUint64(make([]byte, 8), seed)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has the right length
	}
	return &Pattern{cipher.NewCTR(block, make([]byte, aes.BlockSize))}
}

// Read fills p; it never fails.
func (p *Pattern) Read(data []byte) (int, error) {
	clear(data)
	p.stream.XORKeyStream(data, data)
	return len(data), nil
}

// Bytes returns the first n bytes of the pattern of a seed.
func Bytes(seed uint64, n int) []byte {
	data := make([]byte, n)
	NewPattern(seed).Read(data)
	return data
}

// Chunks is the sizes of reads or writes, in turn, repeated for ever.
type Chunks struct {
	sizes []int
	next  int
}

// NewChunks takes the sizes, in bytes.
func NewChunks(sizes ...int) *Chunks { return &Chunks{sizes: sizes} }

func (c *Chunks) take() int {
	size := c.sizes[c.next]
	c.next = (c.next + 1) % len(c.sizes)
	return size
}

func (c *Chunks) largest() int {
	largest := 0
	for _, size := range c.sizes {
		largest = max(largest, size)
	}
	return largest
}

// WritePattern writes the next n bytes of the pattern, one write a chunk.
func WritePattern(w io.Writer, pattern *Pattern, n int64, chunks *Chunks) error {
	buffer := make([]byte, chunks.largest())
	for done := int64(0); done < n; {
		chunk := buffer[:min(int64(chunks.take()), n-done)]
		pattern.Read(chunk)
		written, err := w.Write(chunk)
		done += int64(written)
		if err != nil {
			return fmt.Errorf("write after %d of %d bytes: %w", done, n, err)
		}
	}
	return nil
}

// VerifyPattern reads n bytes, at most one chunk a read, and compares them with the next n bytes of the pattern.
func VerifyPattern(r io.Reader, pattern *Pattern, n int64, chunks *Chunks) error {
	buffer, want := make([]byte, chunks.largest()), make([]byte, chunks.largest())
	for done := int64(0); done < n; {
		got, err := r.Read(buffer[:min(int64(chunks.take()), n-done)])
		pattern.Read(want[:got])
		if !bytes.Equal(buffer[:got], want[:got]) {
			return fmt.Errorf("byte %d is not what was sent", done+int64(difference(buffer[:got], want[:got])))
		}
		done += int64(got)
		if err != nil && done < n {
			return fmt.Errorf("read after %d of %d bytes: %w", done, n, err)
		}
	}
	return nil
}

// VerifyAll is VerifyPattern, followed by end of stream.
func VerifyAll(r io.Reader, pattern *Pattern, n int64, chunks *Chunks) error {
	if err := VerifyPattern(r, pattern, n, chunks); err != nil {
		return err
	}
	switch extra, err := r.Read(make([]byte, 1)); {
	case extra != 0:
		return fmt.Errorf("more than the %d bytes that were sent", n)
	case err != io.EOF:
		return fmt.Errorf("%v after %d bytes, not EOF", err, n)
	}
	return nil
}
