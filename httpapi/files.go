package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/presence-server/presence/sdk"
)

// What is served as it is: the API's description, the browser SDK, the demo
// page; and whether the service lives.

//go:embed openapi.yaml
var openAPI []byte

func serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(openAPI)
}

func (h *Handler) livez(w http.ResponseWriter, r *http.Request) { write(w, http.StatusOK, nil) }

// readyz reports the reason in full, unlike the answers of calls.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	err := h.service.Ready(r.Context())
	if err == nil {
		write(w, http.StatusOK, nil)
		return
	}
	refuse(w, &refusal{
		err:    fail(presence.CodeUnavailable, "%s", err),
		status: http.StatusServiceUnavailable,
		after:  unavailableAfter,
	})
}

// workerPolicy lets the SDK's SharedWorker load its modules and connect to a
// server. A worker is bound by the policy of its own response, not by that of
// the page.
const workerPolicy = "default-src 'none'; script-src 'self'; connect-src *; frame-ancestors 'none'"

// serveSDK serves the files of the browser SDK. A browser asks each time
// whether its copy is still the newest, so that they always fit together.
func (h *Handler) serveSDK() http.HandlerFunc {
	files := sdk.Served()
	tags := entityTags(files)
	return func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/sdk/")
		text, ok := files[name]
		if !ok {
			h.respond(w, r, nil, errNoPath())
			return
		}
		if name == "worker.js" {
			w.Header().Set("Content-Security-Policy", workerPolicy)
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tags[name])
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
	}
}

// entityTags returns a strong ETag for each file.
func entityTags(files map[string][]byte) map[string]string {
	tags := make(map[string]string)
	for name, text := range files {
		hash := sha256.Sum256(text)
		tags[name] = `"` + hex.EncodeToString(hash[:8]) + `"`
	}
	return tags
}
