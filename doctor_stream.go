package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// rejection is the response to a request for a stream that the server, or a proxy,
// has rejected.
type rejection struct{ apiResponse }

// Error describes the response.
func (r *rejection) Error() string { return r.describe() }

// arrival is one thing that has arrived on a stream: first the header of the
// response, then events, and finally the end.
type arrival struct {
	at    time.Time
	head  *http.Response
	event event
	over  bool  // the stream has ended; this is the last arrival
	err   error // the reason, or nil for a proper end
}

// deviceStream is an open stream of a device of its own.
type deviceStream struct {
	doctor   *doctor
	began    time.Time
	arrivals <-chan arrival
	cancel   context.CancelFunc
	deviceID string
}

// streamRequest contains the parameters of a request for a stream.
type streamRequest struct {
	encodings string // accepted
	resume    string // Last-Event-ID
	inQuery   bool   // the token, instead of in the header
}

// plain returns the parameters for a stream whose events are read.
func (d *doctor) plain() streamRequest {
	return streamRequest{encodings: "identity", inQuery: d.inQuery}
}

// follow opens a stream. It must be closed.
func (d *doctor) follow(ctx context.Context, how streamRequest) *deviceStream {
	ctx, cancel := context.WithCancel(ctx)
	arrivals := make(chan arrival)
	s := &deviceStream{doctor: d, began: time.Now(), arrivals: arrivals, cancel: cancel, deviceID: "doctor-" + rand.Text()}
	go func() {
		defer close(arrivals)
		report := func(a arrival) {
			a.at = time.Now()
			select {
			case arrivals <- a:
			case <-ctx.Done():
			}
		}
		report(arrival{over: true, err: d.receive(ctx, s.deviceID, how, report)})
	}()
	return s
}

// receive requests a stream, and reports everything that arrives until it ends.
func (d *doctor) receive(ctx context.Context, deviceID string, how streamRequest, report func(arrival)) error {
	query := url.Values{"deviceID": {deviceID}}
	head := http.Header{"Accept": {"text/event-stream"}, "Accept-Encoding": {how.encodings}}
	if how.resume != "" {
		head.Set("Last-Event-ID", how.resume)
	}
	if how.inQuery {
		query.Set("access_token", d.token)
	} else {
		head.Set("Authorization", "Bearer "+d.token)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base.String()+"/v1/events?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header = head
	response, err := d.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		r, err := readResponse(response)
		return errors.Join(err, &rejection{r})
	}
	report(arrival{head: response})
	for event, err := range events(response.Body) {
		switch err {
		case nil:
			report(arrival{event: event})
		case io.EOF:
			return nil
		default:
			return err
		}
	}
	return nil
}

// next waits for the next arrival. ok is false if there is none within patience.
func (s *deviceStream) next(patience time.Duration) (a arrival, ok bool) {
	select {
	case a, ok = <-s.arrivals:
		return a, ok
	case <-time.After(patience):
		return a, false
	}
}

// until waits until a wanted arrival, or the end of the stream. ok is false if there
// is neither within patience.
func (s *deviceStream) until(patience time.Duration, wanted func(arrival) bool) (a arrival, ok bool) {
	deadline := time.Now().Add(patience)
	for {
		a, ok := s.next(time.Until(deadline))
		if !ok || a.over || wanted(a) {
			return a, ok
		}
	}
}

func isHead(a arrival) bool { return a.head != nil }

func isEvent(name string) func(arrival) bool {
	return func(a arrival) bool { return a.event.name == name }
}

// coming waits for a wanted arrival, like until. If there is none, it makes the
// server end the stream, which makes every proxy pass on what it has buffered. late
// reports that the wanted arrival came only then.
func (s *deviceStream) coming(ctx context.Context, wanted func(arrival) bool) (a arrival, late bool) {
	a, ok := s.until(s.doctor.patience, wanted)
	if ok {
		return a, false
	}
	s.end(ctx)
	a, ok = s.until(doctorTimeout, wanted)
	return a, ok && wanted(a)
}

// end logs the device out, which makes the server end the stream.
func (s *deviceStream) end(ctx context.Context) error {
	return s.doctor.post(ctx, "/v1/logout", map[string]string{"deviceID": s.deviceID})
}

// close closes the stream, and logs the device out.
func (s *deviceStream) close(ctx context.Context) {
	s.cancel()
	for range s.arrivals {
	}
	s.end(ctx) // if this fails, the server removes the device after its grace period
}
