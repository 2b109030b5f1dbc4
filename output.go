package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/mattn/go-isatty"
	"github.com/presence-server/presence/presence"
	"golang.org/x/text/width"
)

// output is where a command prints lists: standard output, buffered. It contains no
// control characters except line feeds and its own colours, so that no text of a user
// can control the terminal.
type output struct {
	*bufio.Writer
	coloured bool
	column   int // the width of the widest ID so far
}

// errNobodyReads is the error of a write after the program behind the pipe, such as
// head, has ended.
var errNobodyReads = errors.New("nobody reads the output")

// newOutput returns the output. There are colours if it is a terminal, unless the
// environment has NO_COLOR (see no-color.org) or a TERM without colours.
func newOutput() *output {
	signal.Ignore(syscall.SIGPIPE) // a pipe that nobody reads is then an error of Write
	term := os.Getenv("TERM")
	return &output{
		Writer:   bufio.NewWriter(stdout{}),
		coloured: isatty.IsTerminal(os.Stdout.Fd()) && os.Getenv("NO_COLOR") == "" && term != "" && term != "dumb",
	}
}

type stdout struct{}

// Write writes to standard output.
func (stdout) Write(text []byte) (int, error) {
	n, err := os.Stdout.Write(text)
	if errors.Is(err, syscall.EPIPE) {
		err = errNobodyReads
	}
	return n, err
}

// id returns a user ID, filled with spaces to the width of the widest one so far.
func (o *output) id(userID string) string {
	text := printable(userID)
	own := columns(text)
	o.column = max(o.column, own)
	return text + strings.Repeat(" ", o.column-own)
}

// colours has the escape sequence for each status.
var colours = map[presence.StatusType]string{
	presence.Online:    "\x1b[32m", // green
	presence.Offline:   "\x1b[33m", // yellow
	presence.Unlogined: "\x1b[90m", // grey
	presence.Unknown:   "\x1b[31m", // red
}

const colourEnd = "\x1b[0m"

// status returns the name of a status, in its colour.
func (o *output) status(t presence.StatusType) string {
	if !o.coloured {
		return t.String()
	}
	return colours[t] + t.String() + colourEnd
}

// custom returns a custom status as it is shown behind the status: quoted, with its
// expiry, and "" if there is none.
func custom(s presence.Status) string {
	switch {
	case s.CustomStatus == "":
		return ""
	case s.ExpiresAt.IsZero():
		return strconv.Quote(s.CustomStatus)
	}
	return fmt.Sprintf("%q until %s", s.CustomStatus, s.ExpiresAt.UTC().Format(time.RFC3339))
}

// more returns what else a status says: the availability, invisibility, and when the user
// was last seen. It is "" if there is none of these.
func more(s presence.Status) string {
	var all []string
	if s.Availability != presence.Available {
		all = append(all, s.Availability.String())
	}
	if s.Invisible {
		all = append(all, "invisible")
	}
	if !s.LastSeenAt.IsZero() {
		all = append(all, "last seen "+s.LastSeenAt.UTC().Format(time.RFC3339))
	}
	return strings.Join(all, ", ")
}

// line prints the parts of a line that are not empty, and ends it.
func (o *output) line(parts ...string) error {
	text := ""
	for _, part := range parts {
		if part != "" {
			text += "  " + part
		}
	}
	_, err := o.WriteString(strings.TrimSpace(text) + "\n")
	return err
}

// json prints JSON that the server has sent, on a line of its own. Characters that a
// terminal could interpret are escaped.
func (o *output) json(text []byte) error {
	for _, r := range string(text) {
		switch {
		case unicode.IsPrint(r):
			o.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(o, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(o, `\u%04x`, r)
		}
	}
	return o.WriteByte('\n')
}

// printable returns a text in which every character that a terminal could interpret
// is escaped. A text without such characters is returned as it is.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// columns returns the number of columns of a terminal that a printable text takes.
func columns(text string) (n int) {
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
