package doctor

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// refusal is the response to a request for a stream that the server, or a proxy,
// has rejected.
type refusal struct{ answer }

// Error describes the response.
func (r *refusal) Error() string { return r.say() }

// event is one event of a stream.
type event struct {
	id, kind, data, retry string
}

// arrival is one thing that has arrived on a stream: first the header of the
// response, then events, and finally the end.
type arrival struct {
	at    time.Time
	head  *http.Response
	event event
	over  bool  // the stream has ended; this is the last arrival
	err   error // the reason, or nil for a proper end
}

// stream is an open stream of a device of its own.
type stream struct {
	visit    *visit
	began    time.Time
	arrivals <-chan arrival
	cancel   context.CancelFunc
	deviceID string
}

// asking has the parameters of a request for a stream.
type asking struct {
	encodings string // accepted
	resume    string // Last-Event-ID
	inQuery   bool   // the token, instead of in the header
}

// plain asks for a stream to read.
func (v *visit) plain() asking { return asking{encodings: "identity", inQuery: v.inQuery} }

// follow opens a stream. It must be closed.
func (v *visit) follow(ctx context.Context, how asking) *stream {
	ctx, cancel := context.WithCancel(ctx)
	arrivals := make(chan arrival)
	s := &stream{visit: v, began: time.Now(), arrivals: arrivals, cancel: cancel, deviceID: "doctor-" + rand.Text()}
	go func() {
		defer close(arrivals)
		report := func(a arrival) {
			a.at = time.Now()
			select {
			case arrivals <- a:
			case <-ctx.Done():
			}
		}
		report(arrival{over: true, err: v.listen(ctx, s.deviceID, how, report)})
	}()
	return s
}

// listen requests a stream, and reports everything that arrives until it ends.
func (v *visit) listen(ctx context.Context, deviceID string, how asking, report func(arrival)) error {
	query := url.Values{"deviceID": {deviceID}}
	head := http.Header{"Accept": {"text/event-stream"}, "Accept-Encoding": {how.encodings}}
	if how.resume != "" {
		head.Set("Last-Event-ID", how.resume)
	}
	if how.inQuery {
		query.Set("access_token", v.Token)
	} else {
		head.Set("Authorization", "Bearer "+v.Token)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base.String()+"/v1/events?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header = head
	response, err := v.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		a, err := read(response)
		return errors.Join(err, &refusal{a})
	}
	report(arrival{head: response})
	return parse(response.Body, func(e event) { report(arrival{event: e}) })
}

// parse reads events until the end of the stream, which isn't an error.
func parse(from io.Reader, report func(event)) error {
	var e event
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data += value
		case "retry":
			e.retry = value
		case "":
			if e != (event{}) {
				report(e)
			}
			e = event{}
		}
	}
	return lines.Err()
}

// next waits for the next arrival. ok is false if there is none within patience.
func (s *stream) next(patience time.Duration) (a arrival, ok bool) {
	select {
	case a, ok = <-s.arrivals:
		return a, ok
	case <-time.After(patience):
		return a, false
	}
}

// until waits until a wanted arrival, or the end of the stream. ok is false if there
// is neither within patience.
func (s *stream) until(patience time.Duration, wanted func(arrival) bool) (a arrival, ok bool) {
	deadline := time.Now().Add(patience)
	for {
		a, ok := s.next(time.Until(deadline))
		if !ok || a.over || wanted(a) {
			return a, ok
		}
	}
}

func isHead(a arrival) bool { return a.head != nil }

func isA(kind string) func(arrival) bool {
	return func(a arrival) bool { return a.event.kind == kind }
}

// coming waits for a wanted arrival, like until. If there is none, it makes the
// server end the stream, which makes every proxy pass on what it has buffered. late
// reports that the wanted arrival came only then.
func (s *stream) coming(ctx context.Context, wanted func(arrival) bool) (a arrival, late bool) {
	a, ok := s.until(s.visit.Patience, wanted)
	if ok {
		return a, false
	}
	s.end(ctx)
	a, ok = s.until(callTimeout, wanted)
	return a, ok && wanted(a)
}

// end logs the device out, which makes the server end the stream.
func (s *stream) end(ctx context.Context) error {
	return s.visit.post(ctx, "/v1/logout", map[string]string{"deviceID": s.deviceID})
}

// close closes the stream, and logs the device out.
func (s *stream) close(ctx context.Context) {
	s.cancel()
	for range s.arrivals {
	}
	s.end(ctx) // if this fails, the server removes the device after its grace period
}
