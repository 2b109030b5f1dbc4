package httpapi

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/presence-server/presence/sdk"
)

// This file serves openapi.yaml, the files of the browser SDK, and the admin page.

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

// pagePolicy is the Content-Security-Policy of the demo page and of the admin page,
// which may load files from this server only.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// adminPolicy is the policy of the admin page, which may create markup from text
// nowhere: a page with the admin key must be immune to the names of users.
const adminPolicy = pagePolicy + "; require-trusted-types-for 'script'; trusted-types 'none'"

// serveSDK serves the files of the browser SDK.
func (h *Handler) serveSDK() http.HandlerFunc {
	serve := h.serveFiles("/sdk/", sdk.Served)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sdk/worker.js" {
			w.Header().Set("Content-Security-Policy", workerPolicy)
		}
		serve(w, r)
	}
}

// serveAdmin serves the admin page.
func (h *Handler) serveAdmin() http.HandlerFunc {
	serve := h.serveFiles("/admin/", sdk.Admin)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", adminPolicy)
		serve(w, r)
	}
}

// toAdmin redirects to the admin page, whose URL ends in a slash. The Location is
// relative, because the handler may be mounted under a prefix.
func toAdmin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", "admin/")
	w.WriteHeader(http.StatusPermanentRedirect)
}

// serveFiles serves the files of a folder; the folder itself is index.html. Browsers
// must revalidate their copies each time (no-cache), so that all files are of the
// same version. The files are prepared at the first request, not at the start.
func (h *Handler) serveFiles(folder string, files func() map[string][]byte) http.HandlerFunc {
	prepare := sync.OnceValues(func() (texts map[string][]byte, tags map[string]string) {
		texts = files()
		return texts, entityTags(texts)
	})
	return func(w http.ResponseWriter, r *http.Request) {
		files, tags := prepare()
		name := cmp.Or(strings.TrimPrefix(r.URL.Path, folder), "index.html")
		text, ok := files[name]
		if !ok {
			h.respond(w, r, nil, errNoPath())
			return
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
