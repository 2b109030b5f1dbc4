package httpapi

import (
	"slices"
	"strings"
)

// Routes returns every "METHOD /path" that is served, and "METHOD /folder/"
// for each folder.
func (h *Handler) Routes() []string {
	var all []string
	for path, methods := range h.routes {
		for method := range methods {
			all = append(all, method+" "+path)
		}
	}
	for folder := range h.folders {
		all = append(all, "GET "+folder, "HEAD "+folder)
	}
	slices.SortFunc(all, strings.Compare)
	return all
}

// MaxLarge is how many requests may have a large body at once.
const MaxLarge = maxLarge

// Remembered returns how many verified tokens are kept, and the most that may be.
func (t *Tokens) Remembered() (n, most int) { return len(t.verified), maxVerified }
