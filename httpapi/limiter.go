package httpapi

import (
	"sync"
	"time"
)

// limiter counts calls per user and command in a fixed window that starts at
// the first call, as the original does.
type limiter struct {
	mu      sync.Mutex
	windows map[callKey]callWindow
	sweptAt time.Time // when windows that were over were last forgotten
}

type callKey struct{ userID, command string }

type callWindow struct {
	began time.Time
	calls int
}

// take counts a call. If it is one too many, it returns how long the window
// still lasts. Both limits apply to windows that are open already.
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

// sweep forgets at most once a window those that are over, so that memory is
// bounded by the users who called in the last two.
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
