package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/presence-server/presence/presence"
)

// usualIDs is the number of IDs for which memory is allocated before they are
// read.
const usualIDs = 1000

// fields are the members of a request's body. Asking for one that is of the
// wrong type gives its zero value, and leaves the error in err. null is a
// wrong type, unless a method states otherwise.
type fields struct {
	values map[string]jsontext.Value
	err    error
	strict bool     // members that nobody asks for are an error
	asked  []string // if strict
}

// strictBody is body for the server API, where a member that the server doesn't
// know could be meant to restrict what a call does.
func strictBody(w http.ResponseWriter, r *http.Request) *fields {
	f := body(w, r)
	f.strict = true
	return f
}

// check returns the first error, once everything has been asked for.
func (f *fields) check() error {
	if !f.strict || f.err != nil {
		return f.err
	}
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if !slices.Contains(f.asked, name) {
			return malformed("unknown member%s", shown(name))
		}
	}
	return nil
}

// shown returns the name of something unknown for an error, or "" if it isn't
// like one of ours: such a text could be a token, and errors are logged.
func shown(name string) string {
	const longest = 24
	isForeign := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }
	if name == "" || len(name) > longest || strings.ContainsFunc(name, isForeign) {
		return ""
	}
	return " " + strconv.Quote(name)
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
	if f.strict {
		f.asked = append(f.asked, name)
	}
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
	if !f.has(name) || v.Kind() != '"' {
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

// maxSeconds is a year: the longest time for which anything may be set.
const maxSeconds = 31536000

// seconds returns a whole number of seconds up to maxSeconds, or 0 when absent.
func (f *fields) seconds(name string) time.Duration {
	if !f.has(name) {
		return 0
	}
	v := f.values[name]
	n, ok := wholeNumber(string(v))
	if v.Kind() != '0' || !ok || n < 1 || n > maxSeconds {
		f.wrong(name, fmt.Sprintf("a whole number of seconds from 1 to %d", maxSeconds))
		return 0
	}
	return time.Duration(n) * time.Second
}

// wholeNumber returns the value of a JSON number, and whether it is a whole
// number of at most 18 digits. It is exact, and takes no longer for an exponent
// than for its digits: 3600.0 and 3.6e3 are 3600.
func wholeNumber(number string) (n int64, ok bool) {
	number, power, _ := strings.Cut(strings.ToLower(number), "e")
	whole, fraction, _ := strings.Cut(number, ".")
	digits := strings.TrimLeft(strings.TrimPrefix(whole, "-")+fraction, "0")
	significant := strings.TrimRight(digits, "0")
	if significant == "" {
		return 0, true
	}
	zeros := len(digits) - len(significant) - len(fraction) // behind the significant digits
	if power != "" {
		exponent, err := strconv.Atoi(power)
		if err != nil || exponent > maxBody || exponent < -maxBody {
			return 0, false
		}
		zeros += exponent
	}
	if zeros < 0 || len(significant)+zeros > 18 {
		return 0, false
	}
	n, err := strconv.ParseInt(significant+strings.Repeat("0", zeros), 10, 64)
	if strings.HasPrefix(whole, "-") {
		n = -n
	}
	return n, err == nil
}

// moment returns a time of RFC 3339, or the zero time when absent.
func (f *fields) moment(name string) (t time.Time) {
	if !f.has(name) {
		return t
	}
	text := strings.ToUpper(f.text(name)) // t and z are as good as T and Z
	if t.UnmarshalText([]byte(text)) != nil || strings.Contains(text, ",") {
		f.wrong(name, `a time of RFC 3339, such as "2026-11-23T15:00:00Z"`)
	}
	return t
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

const (
	defaultPage = 100
	maxPage     = 1000
)

// pageOf returns the after and limit of a query.
func pageOf(q url.Values) (after string, limit int, err error) {
	if !q.Has("limit") {
		return q.Get("after"), defaultPage, nil
	}
	n, err := strconv.ParseUint(q.Get("limit"), 10, 32) // digits only
	if err != nil || n < 1 || n > maxPage {
		return "", 0, malformed("limit must be from 1 to %d", maxPage)
	}
	return q.Get("after"), int(n), nil
}

const requestIDHeader = "X-Request-ID"

// nameRequest gives the request an ID under which the log tells of it. It
// stands in the answer's head from the beginning.
func (h *Handler) nameRequest(w http.ResponseWriter) {
	id := strconv.AppendUint(append([]byte(h.name), '-'), h.requests.Add(1), 36)
	w.Header().Set(requestIDHeader, string(id))
}

func requestID(w http.ResponseWriter) string { return w.Header().Get(requestIDHeader) }
