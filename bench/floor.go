//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// The floors: minimal servers that do only what can't be avoided.

// serveFloor serves one of the floors until ctx is done.
func serveFloor(ctx context.Context, name, address string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	switch name {
	case "stream":
		new(streamFloor).route(mux)
	case "statuses":
		routeStatusesFloor(mux)
	case "nothing":
		routeSetFloor(mux)
	default:
		return fmt.Errorf("no floor %q", name)
	}
	server := &http.Server{Addr: address, Handler: mux}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// streamFloor writes bytes that were prepared in advance to every stream.
type streamFloor struct {
	mu      sync.Mutex
	streams []chan []byte
}

func (f *streamFloor) route(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		stream := make(chan []byte, 16)
		f.mu.Lock()
		f.streams = append(f.streams, stream)
		f.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "event: READY\ndata: {}\n\n")
		flusher := w.(http.Flusher)
		flusher.Flush()
		for {
			select {
			case text := <-stream:
				w.Write(text)
				flusher.Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, stream := range f.watchers(r.URL.Query()) {
			stream <- text
		}
	})
}

// watchers returns all streams, or those that a query names: a number of streams, each
// a number of steps after the one before.
func (f *streamFloor) watchers(query url.Values) []chan []byte {
	count, _ := strconv.Atoi(query.Get("count"))
	if count == 0 {
		return f.streams
	}
	at, _ := strconv.Atoi(query.Get("first"))
	step, _ := strconv.Atoi(query.Get("step"))
	some := make([]chan []byte, count)
	for i := range some {
		some[i] = f.streams[at%len(f.streams)]
		at += step
	}
	return some
}

// routeStatusesFloor answers with the statuses of all requested users, which were
// encoded in advance.
func routeStatusesFloor(mux *http.ServeMux) {
	rows := make(map[string][]byte)
	for i := range queried {
		id := userName(i)
		rows[id] = fmt.Appendf(nil, `{"userID":%q,"statusType":3,"customStatus":"In a call","version":1882842187431948}`, id)
	}
	mux.HandleFunc("POST /v1/admin/getUserStatus", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		var in struct {
			UserIDList []string `json:"userIDList"`
		}
		json.Unmarshal(text, &in)
		const end = `],"failureUserList":[]}}`
		answer := []byte(`{"code":0,"data":{"successUserList":[`)
		for i, id := range in.UserIDList {
			if i > 0 {
				answer = append(answer, ',')
			}
			answer = append(answer, rows[id]...)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)+len(end)))
		w.Write(append(answer, end...))
	})
}

// routeSetFloor answers as if it had set a status.
func routeSetFloor(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/setSelfStatus", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		var in struct {
			CustomStatus string `json:"customStatus"`
		}
		json.Unmarshal(text, &in)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"code":0,"data":{"userID":"someone","statusType":3,"customStatus":%q,"version":1}}`, in.CustomStatus)
	})
}
