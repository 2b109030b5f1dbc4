package sse

import "strconv"

// frame is an event with room for what makes it one chunk of HTTP/1.1's chunked
// encoding. A response whose protocol has no chunks, or whose chunks net/http
// writes, sends the event alone.
type frame []byte

const (
	frameHead = "00000000\r\n" // room for the size of the chunk, in hexadecimal digits
	frameTail = "\r\n"
	lastChunk = "0\r\n\r\n" // the proper end of a response
)

// event returns the event alone.
func (f frame) event() []byte { return f[len(frameHead) : len(f)-len(frameTail)] }

// chunk returns the event as a chunk.
func (f frame) chunk() []byte {
	var digits [len(frameHead)]byte
	head := append(strconv.AppendInt(digits[:0], int64(len(f.event())), 16), '\r', '\n')
	start := len(frameHead) - len(head)
	copy(f[start:], head)
	return f[start:]
}
