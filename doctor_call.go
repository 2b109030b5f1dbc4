package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// apiResponse is the response to a call.
type apiResponse struct {
	http *http.Response // without its body
	json *envelope      // nil means that the response isn't from the server
}

// envelope is the JSON object of every response of the server.
type envelope struct {
	Code    *int
	Message string
}

// describe describes an unexpected response.
func (r apiResponse) describe() string {
	if r.json == nil {
		return r.http.Status + ", not from the server"
	}
	return fmt.Sprintf("%s: %d %s", r.http.Status, *r.json.Code, r.json.Message)
}

// code returns the code of a response, or -1 if it isn't from the server.
func (r apiResponse) code() int {
	if r.json == nil {
		return -1
	}
	return *r.json.Code
}

// maxResponse is the maximum size of a response that is read, in bytes.
const maxResponse = 1 << 20

// doctorTimeout is how long a response may take, and how long a proxy may take to
// pass on what it has buffered when a stream ends.
const doctorTimeout = 10 * time.Second

// call makes a call. A body is sent as JSON.
func (d *doctor) call(ctx context.Context, method, path string, head http.Header, body any) (apiResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return apiResponse{}, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, d.base.String()+path, bytes.NewReader(text))
	if err != nil {
		return apiResponse{}, err
	}
	for name, values := range head {
		request.Header[name] = values
	}
	response, err := d.client.Do(request)
	if err != nil {
		return apiResponse{}, withoutURL(err)
	}
	return readResponse(response)
}

// readResponse reads the body of a response.
func readResponse(response *http.Response) (apiResponse, error) {
	defer response.Body.Close()
	r := apiResponse{http: response}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return r, err
	}
	var said envelope
	if json.Unmarshal(text, &said) == nil && said.Code != nil {
		r.json = &said
	}
	return r, nil
}

// withoutURL removes the URL from an error, because it can contain the token.
func withoutURL(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// post makes a call as the user. It always sends the token in the header, so it
// fails if a proxy removes the header.
func (d *doctor) post(ctx context.Context, path string, body any) error {
	r, err := d.call(ctx, http.MethodPost, path, d.bearer(), body)
	if err == nil && r.code() != 0 {
		err = fmt.Errorf("%s returned %s", path, r.describe())
	}
	return err
}

func (d *doctor) bearer() http.Header {
	return http.Header{"Authorization": {"Bearer " + d.token}, "Content-Type": {"application/json"}}
}
