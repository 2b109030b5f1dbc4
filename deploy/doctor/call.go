package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// answer is what a call is answered.
type answer struct {
	response *http.Response // without its body
	json     *envelope      // nil: the answer isn't the server's
}

// envelope is what every answer of the server is in.
type envelope struct {
	Code    *int
	Message string
}

// say describes an answer that wasn't expected.
func (a answer) say() string {
	if a.json == nil {
		return a.response.Status + ", not from the server"
	}
	return fmt.Sprintf("%s: %d %s", a.response.Status, *a.json.Code, a.json.Message)
}

// code returns the code of the server's answer, or -1 if it isn't one.
func (a answer) code() int {
	if a.json == nil {
		return -1
	}
	return *a.json.Code
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// call makes a call. A body is sent as JSON.
func (v *visit) call(ctx context.Context, method, path string, head http.Header, body any) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, v.Patience*3)
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

// read reads what the server says in an answer, if it is from the server.
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

// withoutURL takes the URL out of an error: it can hold the token.
func withoutURL(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// post makes a call for the user. It goes by the header even where that doesn't
// arrive: then it fails, and so be it.
func (v *visit) post(ctx context.Context, path string, body any) error {
	a, err := v.call(ctx, http.MethodPost, path, v.bearer(), body)
	if err == nil && a.code() != 0 {
		err = fmt.Errorf("%s is answered %s", path, a.say())
	}
	return err
}

func (v *visit) bearer() http.Header {
	return http.Header{"Authorization": {"Bearer " + v.Token}, "Content-Type": {"application/json"}}
}
