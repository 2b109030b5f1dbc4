package httpapi

import (
	"sync"
	"time"
)

// limiter limits how often a user makes the same call. It counts calls in a fixed
// window that starts with the first call, as the original service does.
type limiter struct {
	mu      sync.Mutex
	windows map[callKey]window
	sweptAt time.Time // when ended windows were last deleted
}

type callKey struct{ userID, command string }

// window counts events in a fixed time that starts with the first one. The zero value
// has ended.
type window struct {
	began time.Time
	n     int
}

// take counts an event at now and returns zero. If there were already most events in
// the window, it returns the remaining time of the window instead.
func (w *window) take(now time.Time, most int, length time.Duration) (wait time.Duration) {
	if now.Sub(w.began) >= length {
		*w = window{began: now}
	}
	if w.n >= most {
		return w.began.Add(length).Sub(now)
	}
	w.n++
	return 0
}

// take counts a call and returns zero. If the call exceeds the limit, take returns
// the remaining time of the window instead. Both limits may change from call to
// call, and apply to windows that have already started.
func (l *limiter) take(key callKey, most int, length time.Duration) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.sweep(now, length)
	w := l.windows[key]
	wait = w.take(now, most, length)
	l.windows[key] = w
	return wait
}

// sweep deletes ended windows, at most once in the length of a window. Memory is
// thereby bounded by the users who made calls in the last two windows.
func (l *limiter) sweep(now time.Time, length time.Duration) {
	if l.windows != nil && now.Sub(l.sweptAt) < length {
		return
	}
	if l.windows == nil {
		l.windows = make(map[callKey]window)
	}
	for key, w := range l.windows {
		if now.Sub(w.began) >= length {
			delete(l.windows, key)
		}
	}
	l.sweptAt = now
}
