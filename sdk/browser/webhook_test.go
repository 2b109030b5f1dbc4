package browser_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// TestStandardWebhooks checks that the library published by Standard Webhooks verifies
// what the server sends, including a retry.
func TestStandardWebhooks(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	library, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	attempts := make(chan error)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = library.Verify(body, r.Header)
		}
		if forged := library.Verify(append(body, ' '), r.Header); forged == nil {
			t.Error("the library accepts a body that was changed")
		}
		w.WriteHeader(http.StatusInternalServerError)
		attempts <- err
	}))
	defer hook.Close()
	s := startServer(t, false, "WEBHOOKS__URLS="+hook.URL, "WEBHOOKS__SECRET="+secret)
	for version := int64(0); version == 0; {
		var data struct{ Webhooks []struct{ Version int64 } }
		s.Admin("webhooks", nil, &data)
		version = data.Webhooks[0].Version
	}
	s.Admin("importUsers", map[string]any{"userIDList": []string{"ä\u2028lice"}}, nil)
	for range 2 {
		select {
		case err := <-attempts:
			if err != nil {
				t.Error(err)
			}
		case <-s.Ctx.Done():
			t.Fatal("no message arrived")
		}
	}
	s.Kill()
}
