package httpapi

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"time"
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

// MaxLarge and MaxLargeOfUser are how many requests may have a large body at once.
const (
	MaxLarge       = maxLarge
	MaxLargeOfUser = maxLargeOfUser
)

// LargeBodies returns how many slots for large bodies are taken.
func (h *Handler) LargeBodies() int {
	n := 0
	for _, s := range []*slots{&h.large, &h.adminLarge} {
		s.mu.Lock()
		n += s.taken
		s.mu.Unlock()
	}
	return n
}

// MaxRemembered and MaxOfUser bound the verified tokens that are remembered.
const (
	MaxRemembered = maxRemembered
	MaxOfUser     = maxOfUser
)

// NewProviderWithPause is NewProvider with another pause between two fetches.
func NewProviderWithPause(config ProviderConfig, pause time.Duration) (*Provider, error) {
	return newProvider(config, pause)
}

// Remembered returns how many verified tokens are remembered.
func (t *Tokens) Remembered() int {
	verified := &t.load().verified
	return len(verified.newer.proved) + len(verified.older.proved)
}

// Remembers reports whether a token is remembered.
func (t *Tokens) Remembers(token string) bool {
	digest := sha256.Sum256([]byte(token))
	verified := &t.load().verified
	_, newer := verified.newer.proved[digest]
	_, older := verified.older.proved[digest]
	return newer || older
}

// LimitConnectionsTo is LimitConnections with a limit of unproven connections.
func LimitConnectionsTo(server *http.Server, unproven int) *Connections {
	return limitConnections(server, unproven)
}

// Connections are the connections of a server.
type Connections = connections

// Count returns how many connections there are, and how many of them are unproven.
func (v *connections) Count() (all, unproven int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.all), v.unproven.Len()
}
