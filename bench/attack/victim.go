//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi"
)

// patience bounds one attack, and settled is how long anything may take to be
// as it was before.
const (
	patience = 5 * time.Minute
	settled  = 30 * time.Second
)

// attacker is one run of this program.
type attacker struct {
	seed   uint64
	short  bool
	folder string
	binary string
	tokens *httpapi.Tokens
}

func newAttacker(seed uint64, short bool) (*attacker, error) {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 1000 // as many call at once
	folder, err := os.MkdirTemp("", "presence-attack-")
	if err != nil {
		return nil, err
	}
	a := &attacker{seed: seed, short: short, folder: folder, tokens: tokens()}
	if a.binary, err = server.Build(folder); err != nil {
		a.close()
	}
	return a, err
}

func tokens() *httpapi.Tokens { return &httpapi.Tokens{Secret: []byte(server.Secret)} }

func (a *attacker) close() { os.RemoveAll(a.folder) }

// scale returns n, or less in a short run.
func (a *attacker) scale(n, short int) int {
	if a.short {
		return short
	}
	return n
}

// random returns what decides in one attack: the same for the same seed,
// whichever other attacks are made.
func (a *attacker) random(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(a.seed, h.Sum64()))
}

// token returns one of a user that outlives the run.
func (a *attacker) token(user string) string {
	token, _, err := a.tokens.Issue(user, time.Hour)
	if err != nil {
		panic(err) // only without a secret
	}
	return token
}

// victim is a server under attack.
type victim struct {
	*server.Server
	address string
}

// prepare returns a server in a folder of its own; see begin.
func (a *attacker) prepare(env ...string) (*victim, error) {
	folder, err := os.MkdirTemp(a.folder, "victim-")
	if err != nil {
		return nil, err
	}
	s, err := server.New(a.binary, folder, append([]string{"OPS__LISTEN=127.0.0.1:0", "LIMITS__CALLS_PER_WINDOW=1000000000"}, env...)...)
	if err != nil {
		return nil, err
	}
	return &victim{s, strings.TrimPrefix(s.URL, "http://")}, nil
}

// start prepares a server and starts it.
func (a *attacker) start(env ...string) (*victim, error) {
	v, err := a.prepare(env...)
	if err != nil {
		return nil, err
	}
	if err := v.Start(); err != nil {
		v.end()
		return nil, err
	}
	return v, nil
}

func (v *victim) end() {
	v.Kill()
	http.DefaultClient.CloseIdleConnections()
	os.RemoveAll(v.Folder)
}

// database returns the path of the server's database.
func (v *victim) database() string { return filepath.Join(v.Folder, "presence.db") }

func (v *victim) admin(ctx context.Context, path string, body, data any) error {
	return v.Must(ctx, "/v1/admin/"+path, server.AdminKey, body, data)
}

func (v *victim) register(ctx context.Context, users []string) error {
	const most = 1000
	for len(users) > 0 {
		n := min(most, len(users))
		if err := v.admin(ctx, "importUsers", map[string]any{"userIDList": users[:n]}, nil); err != nil {
			return err
		}
		users = users[n:]
	}
	return nil
}

// befriend puts the friends into the user's list.
func (v *victim) befriend(ctx context.Context, user string, mutual bool, friends ...string) error {
	return v.admin(ctx, "addFriends", map[string]any{"userID": user, "friendIDList": friends, "mutual": mutual}, nil)
}

// statuses returns what the server knows, by user.
func (v *victim) statuses(ctx context.Context, users []string) (map[string]server.Status, error) {
	all := make(map[string]server.Status)
	for len(users) > 0 {
		n := min(1000, len(users))
		var data struct{ SuccessUserList []server.Status }
		if err := v.admin(ctx, "getUserStatus", map[string]any{"userIDList": users[:n]}, &data); err != nil {
			return nil, err
		}
		for _, s := range data.SuccessUserList {
			all[s.UserID] = s
		}
		users = users[n:]
	}
	return all, nil
}

func (v *victim) set(ctx context.Context, token, text string) (server.Answer, error) {
	return v.Call(ctx, "/v1/setSelfStatus", token, map[string]any{"customStatus": text})
}

var opsURL = regexp.MustCompile(`msg="metrics and profiles" url=(\S+)`)

// holdings are what the server holds.
type holdings struct{ goroutines, descriptors, streams, heap, resident int }

// holdings asks the server's [ops] listener, after a garbage collection.
func (v *victim) holdings(ctx context.Context) (h holdings, err error) {
	if _, err := v.ops(ctx, "debug/pprof/heap?gc=1"); err != nil {
		return h, err
	}
	for name, to := range map[string]*int{
		"go_goroutines": &h.goroutines, "process_open_fds": &h.descriptors, "presence_streams": &h.streams,
		"go_memstats_heap_alloc_bytes": &h.heap, "process_resident_memory_bytes": &h.resident,
	} {
		value, err := v.metric(ctx, name)
		if err != nil {
			return h, err
		}
		*to = int(value)
	}
	return h, nil
}

func (h holdings) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MiB heap, %.0f MiB RSS",
		h.goroutines, h.descriptors, float64(h.heap)/(1<<20), float64(h.resident)/(1<<20))
}

// metric returns the value of a line of /metrics.
func (v *victim) metric(ctx context.Context, name string) (float64, error) {
	text, err := v.ops(ctx, "metrics")
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut("\n"+text, "\n"+name+" ")
	if !found {
		return 0, fmt.Errorf("no metric %s", name)
	}
	line, _, _ := strings.Cut(after, "\n")
	return strconv.ParseFloat(line, 64)
}

func (v *victim) ops(ctx context.Context, path string) (string, error) {
	found := opsURL.FindAllStringSubmatch(v.Log(), -1)
	if len(found) == 0 {
		return "", errors.New("the server doesn't tell where its metrics are")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, found[len(found)-1][1]+path, nil)
	if err != nil {
		return "", err
	}
	request.Close = true // an open connection would be counted
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// peak returns the most memory that was in RAM, in bytes.
func (v *victim) peak() (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.Pid()))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var kib int
	_, err = fmt.Sscan(after, &kib)
	return kib << 10, err
}

// until waits for something to be so, and looks again and again.
func until(ctx context.Context, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, settled)
	defer cancel()
	for every := time.NewTicker(20 * time.Millisecond); ; {
		if ok, err := is(); ok || err != nil {
			every.Stop()
			return err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			every.Stop()
			return ctx.Err()
		}
	}
}
