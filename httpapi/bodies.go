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
	smallBody = 64 << 10 // bytes; a request with a larger body needs a slot
)

// slots limits how many requests with a body of more than smallBody bytes are
// read at once, and thereby the memory that they use. A request takes a slot only
// after smallBody bytes have arrived, so a client that announces a large body and
// sends nothing blocks nobody.
type slots struct {
	most, each int // slots in total, and for one user

	mu     sync.Mutex
	taken  int
	byUser map[string]int
}

const (
	maxLarge        = 64 // slots of all users
	maxLargeOfUser  = 4
	maxLargeOfAdmin = 16 // slots of the server API, which no user can take
)

// take takes a slot for a request of a user, and reports whether there was one.
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

// release returns a slot of a user.
func (s *slots) release(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.byUser[userID]--; s.byUser[userID] == 0 {
		delete(s.byUser, userID)
	}
}

// readBody returns the whole body of a request. It returns an error for a body of
// more than maxBody bytes, and if no slot is free for a large one.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, errTooLarge(maxBody)
	}
	resp, text, err := responseOf(w), []byte(nil), error(nil)
	body := http.MaxBytesReader(resp.ResponseWriter, r.Body, maxBody)
	if 0 <= r.ContentLength && r.ContentLength <= smallBody {
		text = make([]byte, r.ContentLength)
		_, err = io.ReadFull(body, text)
	} else if text, err = io.ReadAll(io.LimitReader(body, smallBody+1)); err == nil && len(text) > smallBody {
		if err := resp.takeSlot(); err != nil {
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
		return nil, malformed("the body could not be read to its end")
	}
	return text, nil
}

// takeSlot takes a slot, which the request keeps until it ends. Requests without
// credentials get none.
func (resp *response) takeSlot() error {
	if resp.slots == nil {
		return errTooLarge(smallBody)
	}
	if resp.large = resp.slots.take(resp.userID); !resp.large {
		return fail(presence.CodeUnavailable, "too many large requests at once")
	}
	return nil
}

// release returns the slot of the request, if it has one.
func (resp *response) release() {
	if resp.large {
		resp.slots.release(resp.userID)
	}
}

func errTooLarge(most int) error {
	return &refusal{
		err:    malformed("the body must have at most %d bytes", most),
		status: http.StatusRequestEntityTooLarge,
	}
}
