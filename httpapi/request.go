package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/presence-server/presence/presence"
)

const (
	maxBody  = 1 << 20  // bytes
	promised = 64 << 10 // bytes that are kept free for a body before any of it has come
	maxLarge = 64       // requests at once whose body may have more: all their memory together is bounded
	usualIDs = 1000     // IDs that are kept room for before they are read
)

// fields are the members of a request's body. Asking for one that is of the
// wrong type gives its zero value, and leaves the fault in err. null is a
// wrong type, unless it is said otherwise.
type fields struct {
	values map[string]jsontext.Value
	err    error
}

// body reads the request's body, one JSON object. No body at all is {}.
// Members that nobody asks for are ignored.
func body(w http.ResponseWriter, r *http.Request) *fields {
	f := new(fields)
	var text []byte
	if text, f.err = readBody(w, r); f.err != nil || len(text) == 0 {
		return f
	}
	if err := json.Unmarshal(text, &f.values); err != nil {
		f.err = malformed("the body must be one JSON object%s", place(err))
	} else if f.values == nil {
		f.err = malformed("the body must be one JSON object")
	}
	return f
}

// place says where a body is wrong, without a word of what is in it.
func place(err error) string {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf(", which it is not at byte %d", e.ByteOffset)
	}
	return ""
}

func (f *fields) has(name string) bool {
	_, ok := f.values[name]
	return ok
}

func (f *fields) isNull(name string) bool { return f.values[name].Kind() == 'n' }

func (f *fields) wrong(name, want string) {
	if f.err == nil {
		f.err = malformed("%s must be %s", name, want)
	}
}

// text returns a string, which must be there.
func (f *fields) text(name string) string {
	v := f.values[name]
	if v.Kind() != '"' {
		f.wrong(name, "a string")
		return ""
	}
	return unquote(string(v))
}

// userID returns a well-formed user ID, which must be there.
func (f *fields) userID(name string) string {
	id := f.text(name)
	if err := presence.CheckID(id); err != nil && f.err == nil {
		f.err = malformed("%s: %s", name, err)
	}
	return id
}

// flag returns a boolean, or what it is when absent.
func (f *fields) flag(name string, absent bool) bool {
	if !f.has(name) {
		return absent
	}
	switch f.values[name].Kind() {
	case 't':
		return true
	case 'f':
		return false
	}
	f.wrong(name, "true or false")
	return false
}

// seconds returns a whole number of seconds up to a year, or 0 when absent.
func (f *fields) seconds(name string) time.Duration {
	if !f.has(name) {
		return 0
	}
	const most = 31536000
	var n int64
	v := f.values[name]
	if v.Kind() != '0' || json.Unmarshal(v, &n) != nil || n < 1 || n > most {
		f.wrong(name, fmt.Sprintf("a whole number of seconds from 1 to %d", most))
		return 0
	}
	return time.Duration(n) * time.Second
}

// ids returns a list of strings: at least one, and no more than most different
// ones, or an error with CodeIDCount.
func (f *fields) ids(name string, most int) []string {
	ids := f.someIDs(name, most)
	if len(ids) == 0 && f.err == nil {
		f.err = fail(CodeIDCount, "%s must not be empty", name)
	}
	return ids
}

// someIDs is ids for a list that may also be empty, absent or null.
func (f *fields) someIDs(name string, most int) []string {
	if !f.has(name) || f.isNull(name) {
		return nil
	}
	ids, ok := stringsIn(f.values[name])
	if !ok {
		f.wrong(name, "a list of strings")
	}
	if len(ids) > most && f.err == nil && countDistinct(ids) > most {
		f.err = fail(CodeIDCount, "%s must have at most %d IDs", name, most)
	}
	return ids
}

// stringsIn returns the strings of a well-formed JSON list, and whether it has
// nothing else. They share one copy of the text: a list of hundreds is common,
// and read for every query (bench, get 500).
func stringsIn(list jsontext.Value) ([]string, bool) {
	if list.Kind() != '[' {
		return nil, false
	}
	all := make([]string, 0, min(bytes.Count(list, []byte(`"`))/2, usualIDs))
	for text := string(list[1:]); ; {
		text = strings.TrimLeft(text, " \t\r\n,")
		if text[0] != '"' {
			return all, text[0] == ']'
		}
		end := 1
		for text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		all = append(all, unquote(text[:end+1]))
		text = text[end+1:]
	}
}

// unquote returns what a well-formed JSON string says.
func unquote(quoted string) string {
	if !strings.Contains(quoted, `\`) {
		return quoted[1 : len(quoted)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, quoted)
	return string(text)
}

// countDistinct returns how many different strings there are.
func countDistinct(all []string) int {
	seen := make(map[string]struct{}, len(all))
	for _, one := range all {
		seen[one] = struct{}{}
	}
	return len(seen)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, errTooLarge()
	}
	var text []byte
	var err error
	if 0 <= r.ContentLength && r.ContentLength <= promised {
		text = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, text)
	} else if !of(w).mayBeLarge() {
		return nil, fail(presence.CodeUnavailable, "too many large requests at once")
	} else {
		text, err = io.ReadAll(http.MaxBytesReader(of(w).ResponseWriter, r.Body, maxBody))
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, errTooLarge()
	}
	if err != nil {
		return nil, malformed("the body can't be read")
	}
	return text, nil
}

func errTooLarge() error {
	return &refusal{
		err:    malformed("the body must have at most %d bytes", maxBody),
		status: http.StatusRequestEntityTooLarge,
	}
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// pageOf returns the after and limit of a query.
func pageOf(q url.Values) (after string, limit int, err error) {
	limit = defaultPage
	if text := q.Get("limit"); text != "" {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > maxPage {
			return "", 0, malformed("limit must be from 1 to %d", maxPage)
		}
	}
	return q.Get("after"), limit, nil
}

const requestIDHeader = "X-Request-ID"

// nameRequest gives the request an ID under which the log tells of it. It
// stands in the answer's head from the beginning.
func (h *Handler) nameRequest(w http.ResponseWriter) {
	id := strconv.AppendUint(append([]byte(h.name), '-'), h.requests.Add(1), 36)
	w.Header().Set(requestIDHeader, string(id))
}

func requestID(w http.ResponseWriter) string { return w.Header().Get(requestIDHeader) }
