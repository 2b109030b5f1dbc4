package httpapi

import (
	"sync"
	"time"
)

// limiter limits how often a user makes the same call. It counts calls in a fixed
// window that starts with the first call, as the original service does.
type limiter struct {
	mu      sync.Mutex
	windows map[callKey]callWindow
	sweptAt time.Time // when ended windows were last deleted
}

type callKey struct{ userID, command string }

type callWindow struct {
	began time.Time
	calls int
}

// take counts a call and returns zero. If the call exceeds the limit, take returns
// the remaining time of the window instead. Both limits may change from call to
// call, and apply to windows that have already started.
func (l *limiter) take(key callKey, most int, window time.Duration) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.sweep(now, window)
	w, ok := l.windows[key]
	if !ok || now.Sub(w.began) >= window {
		w = callWindow{began: now}
	}
	if w.calls >= most {
		return w.began.Add(window).Sub(now)
	}
	w.calls++
	l.windows[key] = w
	return 0
}

// sweep deletes ended windows, at most once in the length of a window. Memory is
// thereby bounded by the users who made calls in the last two windows.
func (l *limiter) sweep(now time.Time, window time.Duration) {
	if l.windows != nil && now.Sub(l.sweptAt) < window {
		return
	}
	if l.windows == nil {
		l.windows = make(map[callKey]callWindow)
	}
	for key, w := range l.windows {
		if now.Sub(w.began) >= window {
			delete(l.windows, key)
		}
	}
	l.sweptAt = now
}
