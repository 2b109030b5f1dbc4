package httpapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"strings"

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

// readyz tells the reason in full, unlike the answers of calls.
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

// serveSDK serves the files of the browser SDK. A browser asks each time
// whether its copy is still the newest, so that they always fit together.
func (h *Handler) serveSDK() http.HandlerFunc {
	tags := entityTags(sdk.Files())
	files := http.FileServerFS(sdk.Files())
	return func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/sdk/")
		if tags[name] == "" {
			h.respond(w, r, nil, errNoPath())
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tags[name])
		http.StripPrefix("/sdk", files).ServeHTTP(w, r)
	}
}

// entityTags returns a strong ETag for each file.
func entityTags(files fs.FS) map[string]string {
	tags := make(map[string]string)
	fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		hash := sha256.Sum256(text)
		tags[name] = `"` + hex.EncodeToString(hash[:8]) + `"`
		return err
	})
	return tags
}
