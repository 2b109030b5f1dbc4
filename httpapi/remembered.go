package httpapi

import (
	"crypto/sha256"
	"strings"
	"sync"
)

// remembered keeps what verified tokens prove. It is bounded in bytes, because
// it keeps a digest instead of the token, and per user, so that a user who has
// many tokens, or one that can be written in many ways (the JSON of a UserSig),
// drops none of others. The zero value is empty.
type remembered struct {
	mu           sync.Mutex
	newer, older generation // full ones are dropped as a whole; what is used moves to the newer
}

type tokenDigest = [sha256.Size]byte

type generation struct {
	proved  map[tokenDigest]Credentials
	digests map[string][]tokenDigest // of a user, the earliest first
}

const (
	// maxRemembered bounds the tokens that are remembered: a few MiB.
	maxRemembered = 10_000

	// maxOfUser bounds those of one user in a generation.
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
	c.UserID = strings.Clone(c.UserID) // it may be a part of something longer
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
