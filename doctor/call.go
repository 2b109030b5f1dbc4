package doctor

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

// answer is the response to a call.
type answer struct {
	response *http.Response // without its body
	json     *envelope      // nil means that the response isn't from the server
}

// envelope is the JSON object of every response of the server.
type envelope struct {
	Code    *int
	Message string
}

// say describes an unexpected response.
func (a answer) say() string {
	if a.json == nil {
		return a.response.Status + ", not from the server"
	}
	return fmt.Sprintf("%s: %d %s", a.response.Status, *a.json.Code, a.json.Message)
}

// code returns the code of a response, or -1 if it isn't from the server.
func (a answer) code() int {
	if a.json == nil {
		return -1
	}
	return *a.json.Code
}

// maxAnswer is the maximum size of a response that is read, in bytes.
const maxAnswer = 1 << 20

// callTimeout is how long a response may take, and how long a proxy may take to
// pass on what it has buffered when a stream ends.
const callTimeout = 10 * time.Second

// call makes a call. A body is sent as JSON.
func (v *visit) call(ctx context.Context, method, path string, head http.Header, body any) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, v.base.String()+path, bytes.NewReader(text))
	if err != nil {
		return answer{}, err
	}
	for name, values := range head {
		request.Header[name] = values
	}
	response, err := v.client.Do(request)
	if err != nil {
		return answer{}, withoutURL(err)
	}
	return read(response)
}

// read reads the body of a response.
func read(response *http.Response) (answer, error) {
	defer response.Body.Close()
	a := answer{response: response}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return a, err
	}
	var said envelope
	if json.Unmarshal(text, &said) == nil && said.Code != nil {
		a.json = &said
	}
	return a, nil
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
func (v *visit) post(ctx context.Context, path string, body any) error {
	a, err := v.call(ctx, http.MethodPost, path, v.bearer(), body)
	if err == nil && a.code() != 0 {
		err = fmt.Errorf("%s returned %s", path, a.say())
	}
	return err
}

func (v *visit) bearer() http.Header {
	return http.Header{"Authorization": {"Bearer " + v.Token}, "Content-Type": {"application/json"}}
}
