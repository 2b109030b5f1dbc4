// Package openapi_test validates what the server sends against httpapi/openapi.yaml.
package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// spec is openapi.yaml, which requests, responses and events are checked against.
type spec struct {
	mu      sync.Mutex // the library doesn't document that it can be used concurrently
	model   *v3.Document
	judge   validator.Validator
	schemas schema_validation.SchemaValidator
}

var theSpec = sync.OnceValues(func() (*spec, error) {
	text, err := os.ReadFile("../../../httpapi/openapi.yaml")
	if err != nil {
		return nil, err
	}
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		return nil, err
	}
	model, err := document.BuildV3Model()
	if err != nil {
		return nil, err
	}
	options := []config.Option{config.WithFormatAssertions(), config.WithoutSecurityValidation()}
	judge, problems := validator.NewValidator(document, options...)
	if len(problems) > 0 {
		return nil, problems[0]
	}
	return &spec{model: &model.Model, judge: judge, schemas: schema_validation.NewSchemaValidator(options...)}, nil
})

func openSpec(t testing.TB) *spec {
	t.Helper()
	s, err := theSpec()
	if err != nil {
		t.Fatalf("openapi.yaml can't be read: %v", err)
	}
	return s
}

// check returns what is wrong with an exchange, or nil. path is the path of the
// request without the prefix of the mount.
func (s *spec) check(method, path string, sent http.Header, asked []byte, status int, header http.Header, got []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := httptest.NewRequest(method, path, bytes.NewReader(asked))
	request.Header = sent.Clone()
	if len(asked) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodHead || !s.describes(method, request.URL.Path) {
		return s.checkUndescribed(method, status, got)
	}
	response := &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(got))}
	if ok, problems := s.judge.ValidateHttpResponse(request, response); !ok {
		return fmt.Errorf("the response isn't as described: %s", describe(problems))
	}
	if status != http.StatusOK {
		return nil
	}
	if ok, problems := s.judge.ValidateHttpRequest(request); !ok {
		return fmt.Errorf("the request succeeded, although it isn't as described: %s", describe(problems))
	}
	return nil
}

// checkUndescribed checks what openapi.yaml describes only in prose: HEAD, wrong
// methods and wrong paths.
func (s *spec) checkUndescribed(method string, status int, got []byte) error {
	switch {
	case method == http.MethodHead:
		if len(got) > 0 {
			return fmt.Errorf("a response to HEAD has a body")
		}
		return nil
	case status != http.StatusNotFound && status != http.StatusMethodNotAllowed:
		return fmt.Errorf("openapi.yaml doesn't describe a call that returns %d", status)
	}
	return s.checkSchema("MalformedError", got)
}

func (s *spec) checkSchema(name string, got []byte) error {
	schema := s.model.Components.Schemas.GetOrZero(name)
	if schema == nil {
		return fmt.Errorf("openapi.yaml has no schema %s", name)
	}
	if !json.Valid(got) {
		return fmt.Errorf("not JSON: %q", got)
	}
	if ok, problems := s.schemas.ValidateSchemaBytesWithVersion(schema.Schema(), got, 3.1); !ok {
		return fmt.Errorf("not a %s: %s", name, describe(problems))
	}
	return nil
}

// checkEvent checks the data of an event.
func (s *spec) checkEvent(name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checkSchema(name, data)
}

func (s *spec) describes(method, path string) bool {
	if strings.HasPrefix(path, "/sdk/") {
		path = "/sdk/{file}"
	}
	item := s.model.Paths.PathItems.GetOrZero(path)
	return item != nil && item.GetOperations().GetOrZero(strings.ToLower(method)) != nil
}

func describe(problems []*errors.ValidationError) string {
	var all []string
	for _, f := range problems {
		all = append(all, f.Message+": "+f.Reason)
		for _, s := range f.SchemaValidationErrors {
			all = append(all, fmt.Sprintf("%s (%v)", s.Reason, s.InstancePath))
		}
	}
	return strings.Join(all, "; ")
}

// TestOpenAPIIsValid validates openapi.yaml itself.
func TestOpenAPIIsValid(t *testing.T) {
	if ok, problems := openSpec(t).judge.ValidateDocument(); !ok {
		t.Errorf("openapi.yaml is not OpenAPI 3.1: %s", describe(problems))
	}
}

// TestAWrongResponseIsRejected checks that the validation, which all other tests rely
// on, can fail.
func TestAWrongResponseIsRejected(t *testing.T) {
	const status = `{"userID":"a","statusType":1,"customStatus":"","version":1}`
	named := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"ABCDEFGHIJKLMNOP"}}
	for _, c := range []struct {
		why, path, asked string
		status           int
		header           http.Header
		got              string
		good             bool
	}{
		{"good", "/v1/setSelfStatus", `{"customStatus":""}`, 200, named, `{"code":0,"data":` + status + `}`, true},
		{"a member too many", "/v1/setSelfStatus", `{"customStatus":""}`, 200, named,
			`{"code":0,"data":{"userID":"a","statusType":1,"customStatus":"","version":1,"x":1}}`, false},
		{"a member missing", "/v1/setSelfStatus", `{"customStatus":""}`, 200, named, `{"code":0,"data":{"userID":"a"}}`, false},
		{"a wrong statusType", "/v1/setSelfStatus", `{"customStatus":""}`, 200, named,
			`{"code":0,"data":{"userID":"a","statusType":4,"customStatus":"","version":1}}`, false},
		{"an invalid time", "/v1/setSelfStatus", `{"customStatus":""}`, 200, named,
			`{"code":0,"data":{"userID":"a","statusType":1,"customStatus":"","version":1,"expiresAt":"soon"}}`, false},
		{"null for a list", "/v1/getUserStatus", `{"userIDList":["a"]}`, 200, named,
			`{"code":0,"data":{"successUserList":null,"failureUserList":[]}}`, false},
		{"no X-Request-ID", "/v1/setSelfStatus", `{"customStatus":""}`, 200,
			http.Header{"Content-Type": {"application/json"}}, `{"code":0,"data":` + status + `}`, false},
		{"a code of another HTTP status", "/v1/setSelfStatus", `{}`, 400, named, `{"code":70003,"message":"x"}`, false},
		{"an HTTP status that the call can't have", "/v1/setSelfStatus", `{}`, 429, named, `{"code":2996,"message":"x"}`, false},
		{"no WWW-Authenticate", "/v1/setSelfStatus", `{}`, 401, named, `{"code":70003,"message":"x"}`, false},
		{"no Retry-After", "/v1/getUserStatus", `{}`, 429, named, `{"code":2996,"message":"x"}`, false},
		{"text for JSON", "/v1/getUserStatus", `{"userIDList":["a"]}`, 200,
			http.Header{"Content-Type": {"text/plain"}, "X-Request-Id": named["X-Request-Id"]}, `ok`, false},
		{"a success that the request can't have", "/v1/setSelfStatus", `{}`, 200, named, `{"code":0,"data":` + status + `}`, false},
	} {
		err := openSpec(t).check("POST", c.path, http.Header{}, []byte(c.asked), c.status, c.header, []byte(c.got))
		if (err == nil) != c.good {
			t.Errorf("%s: openapi.yaml says %v", c.why, err)
		}
	}
	if openSpec(t).checkEvent("KICKED_OUT", []byte(`{"type":"boredom"}`)) == nil {
		t.Error("openapi.yaml lets KICKED_OUT have any type")
	}
}
