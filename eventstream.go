package main

import (
	"bufio"
	"bytes"
	"io"
	"iter"
)

// event is an event of a stream. A field that the event doesn't have is "" or nil.
type event struct {
	name, id, retry string
	data            []byte
}

// maxLine is the maximum length of a line of a stream, in bytes. The server splits
// longer lists; a single status has at most 64 KiB of text, of which each byte may be
// escaped.
const maxLine = 1 << 20

// events returns the events of a stream as they arrive. The last pair has the error
// that ended the stream, io.EOF for a proper end.
//
// This is what a client of our own streams needs of Server-Sent Events: lines end in
// a line feed, and each event has one line of data. The client of r3labs/sse can't
// read lines of more than 64 KiB.
func events(from io.Reader) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		lines := bufio.NewScanner(from)
		lines.Buffer(nil, maxLine)
		var e event
		for lines.Scan() {
			name, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
			switch string(name) {
			case "event":
				e.name = string(value)
			case "id":
				e.id = string(value)
			case "retry":
				e.retry = string(value)
			case "data":
				e.data = bytes.Clone(value)
			case "":
				if e.id != "" && !yield(e, nil) {
					return
				}
				e = event{}
			}
		}
		err := lines.Err()
		if err == nil {
			err = io.EOF
		}
		yield(event{}, err)
	}
}
