package openapi_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// exchange is a line that the tests of httpapi record: one request with its response,
// or one event of a stream.
type exchange struct {
	Test         string
	Method, Path string
	Sent         http.Header
	Asked        []byte
	Status       int
	Header       http.Header
	Got          []byte
	Event        string
}

// TestEveryExchangeIsInOpenAPI runs the tests of httpapi, and validates each response and each event that they receive.
func TestEveryExchangeIsInOpenAPI(t *testing.T) {
	file := filepath.Join(t.TempDir(), "exchanges")
	command := exec.CommandContext(t.Context(), "go", "test", "-C", "../../..", "-count=1", "./httpapi", "-record="+file)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	all := readExchanges(t, file)
	responses, events := 0, 0
	for _, e := range all {
		if e.Event != "" {
			events++
		} else {
			responses++
		}
		if err := validate(t, e); err != nil {
			t.Errorf("%s: %s %s %.300s\nwas answered %d %s %.500s\n%v", e.Test, e.Method, e.Path, e.Asked, e.Status, e.Event, e.Got, err)
		}
	}
	if responses < 1000 || events < 500 {
		t.Errorf("only %d responses and %d events were recorded", responses, events)
	}
}

func validate(t *testing.T, e exchange) error {
	t.Helper()
	if e.Event != "" {
		name := e.Event
		if name == "READY" && strings.HasSuffix(e.Path, "/v1/admin/events") {
			name = "FeedReady"
		}
		return openSpec(t).checkEvent(name, e.Got)
	}
	return openSpec(t).check(e.Method, e.Path, e.Sent, e.Asked, e.Status, e.Header, e.Got)
}

func readExchanges(t *testing.T, name string) (all []exchange) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := json.NewDecoder(bufio.NewReader(file)); ; {
		var e exchange
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
}
