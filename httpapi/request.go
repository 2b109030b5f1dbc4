package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/presence-server/presence/presence"
)

// usualIDs is the maximum number of IDs for which memory is allocated before they
// are read.
const usualIDs = 1000

// fields are the members of the JSON object in a request's body. A method that
// reads a member of the wrong type returns the zero value and sets err, unless an
// earlier error is set. null is a wrong type, unless the method states otherwise.
type fields struct {
	values map[string]jsontext.Value
	err    error    // the first
	strict bool     // members that were not read are an error
	asked  []string // the names that were read, if strict
}

// strictBody is like body, but unknown members are an error. The server API uses
// it, because an unknown member could be meant to restrict what a call does.
func strictBody(w http.ResponseWriter, r *http.Request) *fields {
	f := body(w, r)
	f.strict = true
	return f
}

// check returns the first error. Call it after all members have been read.
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

// shown returns the quoted name of an unknown member or parameter for an error
// message. It returns "" for a text that doesn't look like a name: the text could
// be a token, and errors are logged.
func shown(name string) string {
	const longest = 24
	isForeign := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }
	if name == "" || len(name) > longest || strings.ContainsFunc(name, isForeign) {
		return ""
	}
	return " " + strconv.Quote(name)
}

// body reads the request's body, which must be one JSON object. An empty body
// counts as {}. Unknown members are ignored.
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

// place returns where the JSON of a body is malformed, without any of its content.
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

// text returns a string, which is required.
func (f *fields) text(name string) string {
	v := f.values[name]
	if !f.has(name) || v.Kind() != '"' {
		f.wrong(name, "a string")
		return ""
	}
	return unquote(string(v))
}

// someText returns a string, or "" if there is none.
func (f *fields) someText(name string) string {
	if !f.has(name) {
		return ""
	}
	return f.text(name)
}

// availability returns an availability, or the zero value if there is none.
func (f *fields) availability() presence.Availability {
	a, err := presence.ParseAvailability(f.someText("availability"))
	if err != nil && f.err == nil {
		f.err = err
	}
	return a
}

// priority returns a whole number, or nil if there is none. Numbers out of the range of
// an int8 are errors.
func (f *fields) priority() *int {
	if !f.has("priority") {
		return nil
	}
	v := f.values["priority"]
	n, ok := wholeNumber(string(v))
	if v.Kind() != '0' || !ok || int64(int8(n)) != n {
		f.wrong("priority", "a whole number from -100 to 100")
		return nil
	}
	return new(int(n))
}

// userID returns a well-formed user ID, which is required.
func (f *fields) userID(name string) string {
	id := f.text(name)
	if err := presence.CheckID(id); err != nil && f.err == nil {
		f.err = malformed("%s: %s", name, err)
	}
	return id
}

// deviceID returns a device ID, or "" if there is none.
func (f *fields) deviceID() string {
	if !f.has("deviceID") {
		return ""
	}
	id := f.text("deviceID")
	if id == "" && f.err == nil {
		f.err = malformed("deviceID must not be empty")
	}
	return id
}

// flag returns a boolean, or the value of absent if there is none.
func (f *fields) flag(name string, absent bool) bool {
	if !f.has(name) {
		return absent
	}
	return f.bool(name)
}

// bool returns a boolean, which is required.
func (f *fields) bool(name string) bool {
	f.has(name)
	switch f.values[name].Kind() {
	case 't':
		return true
	case 'f':
		return false
	}
	f.wrong(name, "true or false")
	return false
}

// maxSeconds is the longest lifetime of a status or a token: a year.
const maxSeconds = 31536000

// seconds returns a whole number of seconds up to maxSeconds, or 0 if there
// is none.
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
// number of at most 18 digits: 3600.0 and 3.6e3 are 3600. The result is exact,
// and a great exponent doesn't make it slow.
func wholeNumber(number string) (n int64, ok bool) {
	number, power, _ := strings.Cut(strings.ToLower(number), "e")
	whole, fraction, _ := strings.Cut(number, ".")
	digits := strings.TrimLeft(strings.TrimPrefix(whole, "-")+fraction, "0")
	significant := strings.TrimRight(digits, "0")
	if significant == "" {
		return 0, true
	}
	zeros := len(digits) - len(significant) - len(fraction) // after the significant digits
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

// timestamps matches what section 5.6 of RFC 3339 permits. Package time also accepts an hour
// of one digit, a comma before the fraction, and an offset of 24 hours.
var timestamps = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// timestamp returns a time in the format of RFC 3339, or the zero time if there is
// none. A time before 1970 becomes 1970, so that the year 1 isn't taken for none.
func (f *fields) timestamp(name string) (t time.Time) {
	if !f.has(name) {
		return t
	}
	text := strings.ToUpper(f.text(name)) // RFC 3339 permits t and z
	if !timestamps.MatchString(text) || t.UnmarshalText([]byte(text)) != nil {
		f.wrong(name, `a time of RFC 3339, such as "2026-11-23T15:00:00Z"`)
	}
	if epoch := time.Unix(0, 0); t.Before(epoch) {
		return epoch
	}
	return t
}

// ids returns a list of strings. A list that is empty, or has more than most
// distinct strings, is an error with CodeIDCount.
func (f *fields) ids(name string, most int) []string {
	ids := f.someIDs(name, most)
	if len(ids) == 0 && f.err == nil {
		f.err = fail(CodeIDCount, "%s must not be empty", name)
	}
	return ids
}

// someIDs is like ids, but the list may also be empty, absent or null.
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

// objects returns the JSON objects of a list. A list that is empty is an error with
// CodeIDCount.
func (f *fields) objects(name string) (all []*fields) {
	var list []map[string]jsontext.Value
	err := json.Unmarshal(f.values[name], &list)
	for _, values := range list {
		all = append(all, &fields{values: values, strict: f.strict})
	}
	isNull := func(f *fields) bool { return f.values == nil }
	if !f.has(name) || f.isNull(name) || err != nil || slices.ContainsFunc(all, isNull) {
		f.wrong(name, "a list of objects")
		return nil
	}
	if len(all) == 0 && f.err == nil {
		f.err = fail(CodeIDCount, "%s must not be empty", name)
	}
	return all
}

// inside sets err to that of an object in a list, unless an earlier error is set.
func (f *fields) inside(name string, index int, err error) {
	if f.err == nil {
		e := refusalOf(err).err
		f.err = fail(e.Code, "%s[%d]: %s", name, index, e.Message)
	}
}

// stringsIn returns the strings of a well-formed JSON list, and whether the list
// contains only strings. They share one copy of the text, because lists of
// hundreds are common and are read for every query (bench, get 500).
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

// unquote returns the value of a well-formed JSON string.
func unquote(quoted string) string {
	if !strings.Contains(quoted, `\`) {
		return quoted[1 : len(quoted)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, quoted)
	return string(text)
}

// countDistinct returns the number of distinct values.
func countDistinct[T comparable](all []T) int {
	seen := make(map[T]struct{}, len(all))
	for _, one := range all {
		seen[one] = struct{}{}
	}
	return len(seen)
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// pageOf returns the parameters after and limit of a query. after is empty for the
// first page.
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

// nameRequest assigns an ID to the request, and sets it in the response's header.
// All log lines about the request contain it.
func (h *Handler) nameRequest(w http.ResponseWriter) {
	id := strconv.AppendUint(append([]byte(h.name), '-'), h.requests.Add(1), 36)
	w.Header().Set(requestIDHeader, string(id))
}

func requestID(w http.ResponseWriter) string { return w.Header().Get(requestIDHeader) }
