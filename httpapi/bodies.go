package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/presence-server/presence/presence"
)

const (
	maxBody   = 1 << 20  // bytes
	smallBody = 64 << 10 // bytes: a request holds no more memory unless it has a slot
)

// slots bound the requests at once whose body has more than smallBody bytes, so
// that the memory of all of them is bounded. A slot is taken only once so much
// has arrived: a client that sends nothing keeps out nobody.
type slots struct {
	most, each int // of all requests, of those of one user

	mu     sync.Mutex
	taken  int
	byUser map[string]int
}

const (
	maxLarge        = 64 // slots of all users
	maxLargeOfUser  = 4
	maxLargeOfAdmin = 16 // slots of the server API, which no user can take
)

// take reports whether there is a slot for a request of a user, and takes it.
func (s *slots) take(userID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.most || s.byUser[userID] >= s.each {
		return false
	}
	if s.byUser == nil {
		s.byUser = make(map[string]int)
	}
	s.taken++
	s.byUser[userID]++
	return true
}

// release gives a slot back.
func (s *slots) release(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.byUser[userID]--; s.byUser[userID] == 0 {
		delete(s.byUser, userID)
	}
}

// readBody reads all of a request's body.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, errTooLarge(maxBody)
	}
	a, text, err := of(w), []byte(nil), error(nil)
	body := http.MaxBytesReader(a.ResponseWriter, r.Body, maxBody)
	if 0 <= r.ContentLength && r.ContentLength <= smallBody {
		text = make([]byte, r.ContentLength)
		_, err = io.ReadFull(body, text)
	} else if text, err = io.ReadAll(io.LimitReader(body, smallBody+1)); err == nil && len(text) > smallBody {
		if err := a.takeSlot(); err != nil {
			return nil, err
		}
		all := bytes.NewBuffer(text)
		_, err = all.ReadFrom(body)
		text = all.Bytes()
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, errTooLarge(maxBody)
	}
	if err != nil {
		return nil, malformed("the body can't be read")
	}
	return text, nil
}

// takeSlot takes a slot until the request ends. Requests without credentials
// have none.
func (a *answering) takeSlot() error {
	if a.slots == nil {
		return errTooLarge(smallBody)
	}
	if a.large = a.slots.take(a.userID); !a.large {
		return fail(presence.CodeUnavailable, "too many large requests at once")
	}
	return nil
}

func (a *answering) release() {
	if a.large {
		a.slots.release(a.userID)
	}
}

func errTooLarge(most int) error {
	return &refusal{
		err:    malformed("the body must have at most %d bytes", most),
		status: http.StatusRequestEntityTooLarge,
	}
}
