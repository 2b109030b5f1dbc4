package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/presence-server/presence/sdk"
)

// This file serves openapi.yaml and the files of the browser SDK.

//go:embed openapi.yaml
var openAPI []byte

func serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(openAPI)
}

// workerPolicy is the Content-Security-Policy of the SDK's SharedWorker. A worker
// is subject to the policy of its own response, not to that of the page. This one
// lets it load its modules and connect to any server.
const workerPolicy = "default-src 'none'; script-src 'self'; connect-src *; frame-ancestors 'none'"

// serveSDK serves the files of the browser SDK. Browsers must revalidate their
// copies each time (no-cache), so that all files are of the same version.
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
