package httpapi

import (
	"crypto/sha256"
	"strings"
	"sync"
)

// remembered is a cache of verified tokens. It is bounded in bytes, because it
// stores a digest instead of the token. It is also bounded for each user, so that
// a user with many tokens, or with one that has many spellings (the JSON of a
// UserSig), doesn't displace the tokens of others. The zero value is an empty
// cache.
type remembered struct {
	mu           sync.Mutex
	newer, older generation // when newer is full, it replaces older; tokens that are used move to newer
}

type tokenDigest = [sha256.Size]byte

type generation struct {
	proved  map[tokenDigest]Credentials
	digests map[string][]tokenDigest // by user, the oldest first
}

const (
	// maxRemembered is the maximum number of tokens in the cache, which then
	// uses a few MiB.
	maxRemembered = 10_000

	// maxOfUser is the maximum number of tokens of one user in a generation.
	maxOfUser = 8
)

func (m *remembered) get(digest tokenDigest) (Credentials, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.newer.proved[digest]
	if !ok {
		if c, ok = m.older.proved[digest]; ok {
			m.keep(digest, c)
		}
	}
	return c, ok
}

func (m *remembered) put(digest tokenDigest, c Credentials) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.UserID = strings.Clone(c.UserID) // it may be a substring of the whole token
	m.keep(digest, c)
}

func (m *remembered) keep(digest tokenDigest, c Credentials) {
	if len(m.newer.proved) >= maxRemembered/2 {
		m.older, m.newer = m.newer, generation{}
	}
	g := &m.newer
	if g.proved == nil {
		*g = generation{make(map[tokenDigest]Credentials), make(map[string][]tokenDigest)}
	}
	if _, again := g.proved[digest]; !again {
		all := g.digests[c.UserID]
		if len(all) == maxOfUser {
			delete(g.proved, all[0])
			all = append(all[:0], all[1:]...)
		}
		g.digests[c.UserID] = append(all, digest)
	}
	g.proved[digest] = c
}
