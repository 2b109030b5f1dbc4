package httpapi_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"sync"
	"testing"
)

// The tests in sdk/browser/openapi run the tests of this package with this flag, and then validate what was recorded
// against openapi.yaml. The validator is not used here, because its modules would be required of every program that
// embeds this package.
var recordFile = flag.String("record", "", "append each exchange and each stream event to this `file`, as lines of JSON")

var recording = sync.OnceValues(func() (*os.File, error) {
	return os.OpenFile(*recordFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
})

// exchange is one request with its response, or one event of a stream.
type exchange struct {
	Test string

	Method, Path string // without the prefix of the mount
	Sent         http.Header
	Asked        []byte
	Status       int
	Header       http.Header
	Got          []byte // the body of the response, or the data of the event

	Event string
}

// record appends an exchange to the file that the flag names. Without the flag it does nothing.
func record(t testing.TB, e exchange) {
	t.Helper()
	if *recordFile == "" {
		return
	}
	e.Test = t.Name()
	line, badJSON := json.Marshal(e)
	file, err := recording()
	if err = errors.Join(badJSON, err); err == nil {
		_, err = file.Write(append(line, '\n')) // a single write, so that lines of several goroutines don't mix
	}
	if err != nil {
		t.Errorf("recording an exchange: %v", err)
	}
}
