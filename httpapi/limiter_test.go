package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestWindowStartsAtTheFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		alice := callKey{"alice", "getUserStatus"}
		take := func(key callKey, want time.Duration, why string) {
			t.Helper()
			if got := l.take(key, 2, 5*time.Second); got != want {
				t.Errorf("%s: the wait is %v, want %v", why, got, want)
			}
		}
		take(alice, 0, "the first call opens the window")
		<-time.After(4 * time.Second)
		take(alice, 0, "the second is allowed")
		take(alice, time.Second, "the third waits for the end of the window, which started at the first")
		take(callKey{"alice", "subscribeUserStatus"}, 0, "another command has its own count")
		take(callKey{"bob", "getUserStatus"}, 0, "another user has their own count")
		<-time.After(time.Second - time.Nanosecond)
		take(alice, time.Nanosecond, "the window isn't over")
		<-time.After(time.Nanosecond)
		take(alice, 0, "a new window")
		take(alice, 0, "a new window has the full number of calls")
		take(alice, 5*time.Second, "and no more")
	})
}

// TestAShorterWindowAppliesAtOnce checks that what SIGHUP changes applies to windows
// that are open.
func TestAShorterWindowAppliesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		alice := callKey{"alice", "getUserStatus"}
		take := func(window, want time.Duration, why string) {
			t.Helper()
			if got := l.take(alice, 1, window); got != want {
				t.Errorf("%s: the wait is %v, want %v", why, got, want)
			}
		}
		take(time.Hour, 0, "the first call opens the window")
		<-time.After(5 * time.Second)
		take(time.Hour, time.Hour-5*time.Second, "the window lasts an hour")
		take(8*time.Second, 3*time.Second, "a shorter window ends earlier")
		take(5*time.Second, 0, "a window that has just become shorter is over")
		take(time.Minute, time.Minute, "a longer window applies too")
		<-time.After(5 * time.Second)
		take(5*time.Second, 0, "the window is over")
		l.take(callKey{"bob", "getUserStatus"}, 1, 5*time.Second)
		<-time.After(10 * time.Second)
		l.take(callKey{"carol", "getUserStatus"}, 1, 5*time.Second)
		if n := len(l.windows); n != 1 {
			t.Errorf("windows that a shorter limit has ended are forgotten, but %d are left", n)
		}
	})
}

func TestLimiterForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		for i := range 1000 {
			l.take(callKey{string(rune('a' + i)), "getUserStatus"}, 1, time.Second)
		}
		<-time.After(2 * time.Second)
		l.take(callKey{"last", "getUserStatus"}, 1, time.Second)
		if n := len(l.windows); n != 1 {
			t.Errorf("windows that are over are forgotten, but %d are left", n)
		}
	})
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	for after, want := range map[time.Duration]string{time.Nanosecond: "1", time.Second: "1", 1001 * time.Millisecond: "2", 0: ""} {
		w := httptest.NewRecorder()
		refuse(w, &refusal{err: fail(CodeTooOften, "too often"), status: http.StatusTooManyRequests, after: after})
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("a wait of %s gives Retry-After %q, want %q", after, got, want)
		}
	}
}
