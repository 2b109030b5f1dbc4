package httpapi

import (
	"io/fs"
	"net/http"

	"github.com/presence-server/presence/sdk"
)

// routeDev adds the routes of Config.Dev: the demo page, and a call that issues
// tokens to anyone.
func (h *Handler) routeDev() {
	h.routes["/v1/dev/token"] = post(h.devToken)
	page := sdk.Demo()
	files := http.FileServerFS(page)
	serve := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", pagePolicy)
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	}
	h.routes["/"] = get(serve)
	entries, _ := fs.ReadDir(page, ".") // embedded: it can't fail
	for _, e := range entries {
		h.routes["/"+e.Name()] = get(serve)
	}
}

func (h *Handler) devToken(w http.ResponseWriter, r *http.Request) {
	in := strictBody(w, r)
	userID, lifetime := in.userID("userID"), in.seconds("expiresIn")
	if err := in.check(); err != nil {
		h.respond(w, r, nil, err)
		return
	}
	data, _, err := h.issue(userID, lifetime)
	h.respond(w, r, data, err)
}
