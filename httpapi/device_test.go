package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// devices returns a server of a program whose sessions are devices: the token
// "alice/laptop" is a session of alice.
func devices(o *options) {
	o.config.Authenticate = func(r *http.Request) (httpapi.Credentials, error) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		userID, deviceID, _ := strings.Cut(token, "/")
		return httpapi.Credentials{UserID: userID, DeviceID: deviceID}, nil
	}
}

// TestAStatedDeviceCounts checks that the stated device counts, whatever deviceID a
// request contains.
func TestAStatedDeviceCounts(t *testing.T) {
	for _, named := range []string{"", "phone", " malformed "} {
		s := newServer(t, devices)
		laptop, phone := s.as("alice/laptop"), s.as("alice/phone").stream("deviceID", "phone").ready()
		query, body := []string(nil), `{}`
		if named != "" {
			query, body = []string{"deviceID", named}, `{"deviceID":"`+named+`"}`
		}
		stream := laptop.stream(query...)
		if e := stream.next(); e.Type != "READY" || !strings.Contains(e.Data, `"deviceID":"laptop"`) {
			t.Errorf("the stream of a request that names %q begins with %s, want READY of the device laptop", named, e.Raw)
		}
		laptop.post("/v1/logout", body).is("{}", "logout succeeds whatever deviceID it names")
		stream.is("KICKED_OUT", `{"type":"logout"}`, "logout ends the stream of its own device")
		stream.ends("KICKED_OUT ends a stream for good")
		laptop.post("/v1/setSelfStatus", `{"customStatus":"x"}`)
		phone.is("USER_STATUS_UPDATED", "["+status("alice", presence.Online, "x")+"]", "the stream of the other device continues")
	}
}

// TestWithoutAStatedDevice checks that the request then names the device, as with
// tokens.
func TestWithoutAStatedDevice(t *testing.T) {
	s := newServer(t, devices)
	alice := s.as("alice")
	laptop, phone := alice.stream("deviceID", "laptop").ready(), alice.stream("deviceID", "phone").ready()
	alice.post("/v1/logout", `{"deviceID":"laptop"}`)
	laptop.is("KICKED_OUT", `{"type":"logout"}`, "logout ends the stream of the device that it names")
	alice.post("/v1/logout", `{}`)
	phone.is("KICKED_OUT", `{"type":"logout"}`, "logout of no device ends all")
}

// TestAMalformedStatedDevice checks that it is an error of the program, not of its
// user: the log has the reason, and nothing happens.
func TestAMalformedStatedDevice(t *testing.T) {
	for _, deviceID := range []string{" ", "a\x7f", strings.Repeat("a", 129), "\xff"} {
		s := newServer(t, func(o *options) {
			o.config.Authenticate = func(*http.Request) (httpapi.Credentials, error) {
				return httpapi.Credentials{UserID: "alice", DeviceID: deviceID}, nil
			}
		})
		s.register("alice")
		s.changesNothing("a malformed device", func() {
			for call, body := range userCalls {
				method, path, _ := strings.Cut(call, " ")
				s.send(method, path, http.Header{}, body).fails(500, "70500", "a malformed device is an error of the program")
			}
		})
		if n := strings.Count(s.log.String(), "Authenticate returned a DeviceID that is not valid: an ID must"); n != len(userCalls) {
			t.Errorf("the log has %d of %d reasons", n, len(userCalls))
		}
	}
}
