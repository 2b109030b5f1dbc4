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

// object is an answer under construction: the envelope, and the members of its
// data that are there so far. nil has none. It is written in one piece and by
// hand, because the statuses of hundreds of users may be in it.
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

// statuses adds a list; nil is [].
func (o object) statuses(name string, list []presence.Status) object {
	return presence.AppendList(o.field(name), list)
}

// list adds a list of anything that JSON can tell; nil is [].
func list[T any](o object, name string, all []T) object {
	if len(all) == 0 {
		return append(o.field(name), "[]"...)
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // only for a type that JSON can't tell
	}
	return append(o.field(name), text...)
}

func (o object) text(name, value string) object {
	return presence.AppendQuoted(o.field(name), value)
}

// next adds where the next page begins, unless this one is the last.
func (o object) next(after string) object {
	if after == "" {
		return o
	}
	return o.text("next", after)
}

// answerStatuses is the answer of a query.
func answerStatuses(found []presence.Status, failed []presence.Failure) object {
	const usual = 160 // bytes of a status, rather more than less
	data := make(object, 0, len(opening)+usual*len(found)+len(closing)+64)
	return list(data.statuses("successUserList", found), "failureUserList", failed)
}

// members makes an object of a value's members.
func members(value any) (object, error) {
	text, err := json.Marshal(value)
	return inEnvelope(text), err
}

func statusObject(s presence.Status) object { return inEnvelope(s.AppendJSON(nil)) }

// inEnvelope makes an object of the text of one.
func inEnvelope(text []byte) object {
	text = bytes.TrimPrefix(bytes.TrimSuffix(text, []byte("}")), []byte("{"))
	return append(object(opening), text...)
}

// respond is where an answer or an error becomes HTTP.
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
	w.Write(body) // a client that has gone needs no answer
}

// protect keeps an answer from being taken for what it isn't, shown inside of
// another page, kept by a proxy, or told about to other sites. What is meant to
// be shown or kept sets its own.
func protect(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address of a stream may hold a token
}

// logRefusal logs what the client isn't told: faults of ours. Nobody's fault is
// what a client has caused by leaving.
func (h *Handler) logRefusal(w http.ResponseWriter, r *http.Request, refused *refusal, err error) {
	level := slog.LevelDebug
	switch {
	case r.Context().Err() != nil:
	case refused.err.Code == CodeInternal:
		level = slog.LevelError
	case refused.err.Code == presence.CodeUnavailable:
		level = slog.LevelWarn
	}
	a := of(w)
	h.log.Log(r.Context(), level, "request refused", "request", requestID(w), "user", a.userID, "path", a.meter.path,
		"code", int(refused.err.Code), "error", err)
}

// rfc3339 is how every time is told.
func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
