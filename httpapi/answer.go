package httpapi

import (
	"bytes"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/presence-server/presence/presence"
)

// object is the body of a successful response under construction: the beginning
// of the envelope, and the members of "data" that have been added. Nil means no
// members. It is appended to directly, without package json, because it may
// contain hundreds of statuses.
type object []byte

const (
	opening = `{"code":0,"data":{`
	closing = "}}\n"
)

func (o object) field(name string) object {
	if len(o) == 0 {
		o = append(o, opening...)
	} else {
		o = append(o, ',')
	}
	o = presence.AppendQuoted(o, name)
	return append(o, ':')
}

// statuses adds a list of statuses. Nil is written as [].
func (o object) statuses(name string, list []presence.Status) object {
	return presence.AppendList(o.field(name), list)
}

// list adds a list of any type that package json can marshal. Nil is written as [].
func list[T any](o object, name string, all []T) object {
	if len(all) == 0 {
		return append(o.field(name), "[]"...)
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // all is of a type that can't be marshalled: a programming error
	}
	return append(o.field(name), text...)
}

func (o object) text(name, value string) object {
	return presence.AppendQuoted(o.field(name), value)
}

// next adds the ID after which the next page begins. An empty one means that this
// page is the last, and adds nothing.
func (o object) next(after string) object {
	if after == "" {
		return o
	}
	return o.text("next", after)
}

// answerStatuses returns the data of a response to a query.
func answerStatuses(found []presence.Status, failed []presence.Failure) object {
	const usual = 160 // an upper estimate of the bytes of a status
	data := make(object, 0, len(opening)+usual*len(found)+len(closing)+64)
	return list(data.statuses("successUserList", found), "failureUserList", failed)
}

// members returns an object with the members of a value that marshals to a JSON
// object.
func members(value any) (object, error) {
	text, err := json.Marshal(value, json.Deterministic(true))
	return inEnvelope(text), err
}

func statusObject(s presence.Status) object { return inEnvelope(s.AppendJSON(nil)) }

// inEnvelope returns an object with the members of a JSON object.
func inEnvelope(text []byte) object {
	text = bytes.TrimPrefix(bytes.TrimSuffix(text, []byte("}")), []byte("{"))
	return append(object(opening), text...)
}

// respond writes the data of a call, or its error, as the HTTP response. It is the
// only place where an error becomes a response.
func (h *Handler) respond(w http.ResponseWriter, r *http.Request, data object, err error) {
	if err == nil {
		write(w, http.StatusOK, data)
		return
	}
	refused := refusalOf(err)
	h.meters.refuse(refused.err.Code)
	h.logRefusal(w, r, refused, err)
	refuse(w, refused)
}

func write(w http.ResponseWriter, status int, data object) {
	if data == nil {
		data = object(opening)
	}
	writeJSON(w, status, append(data, closing...))
}

func refuse(w http.ResponseWriter, refused *refusal) {
	if refused.after > 0 {
		seconds := int64(math.Ceil(refused.after.Seconds()))
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	if refused.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	body := strconv.AppendInt([]byte(`{"code":`), int64(refused.err.Code), 10)
	body = append(body, `,"message":`...)
	body = presence.AppendQuoted(body, refused.err.Message)
	writeJSON(w, refused.status, append(body, "}\n"...))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // an error means that the client has gone
}

// protect sets headers that prevent a response from being interpreted as another
// type, framed by another page, cached, or named in a Referer header. Handlers of
// files and pages override them.
func protect(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the URL of a stream can contain a token
}

// logRefusal logs an error, at a level that depends on who can act on it. An
// error of the server is logged as an error, because the client doesn't receive
// its details. An error after the client has disconnected is only for debugging.
func (h *Handler) logRefusal(w http.ResponseWriter, r *http.Request, refused *refusal, err error) {
	level := slog.LevelDebug
	switch {
	case r.Context().Err() != nil:
	case refused.err.Code == CodeInternal:
		level = slog.LevelError
	case refused.err.Code == presence.CodeUnavailable:
		level = slog.LevelWarn
	}
	resp := responseOf(w)
	h.log.Log(r.Context(), level, "request refused", "request", requestID(w), "user", resp.userID, "path", resp.meter.path,
		"code", int(refused.err.Code), "error", err)
}

// rfc3339 formats a time as in all responses.
func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
