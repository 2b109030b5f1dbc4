//go:build linux

// Package lab holds what the measurements of bench and the attacks of bench/attack
// share: built servers, their users, and what the kernel knows about a process.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi"
)

// Lab is one run, with a folder of its own.
type Lab struct {
	Short  bool // make the run shorter
	Folder string
	Binary string
}

// Item is one load or attack.
type Item struct {
	Name string
	Run  func(ctx context.Context) error
}

// Run builds the server, and runs the items whose name contains a text, one after the
// other. If an item fails, the others still run.
func Run(ctx context.Context, short bool, only string, items func(*Lab) []Item) error {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 1000 // maximum of concurrent calls
	folder, err := os.MkdirTemp("", "presence-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	l := &Lab{Short: short, Folder: folder}
	if l.Binary, err = testserver.Build(folder); err != nil {
		return err
	}
	var errs []error
	for _, item := range items(l) {
		if !strings.Contains(item.Name, only) || ctx.Err() != nil {
			continue
		}
		began := time.Now()
		if err := item.Run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", item.Name, err))
		}
		fmt.Fprintf(os.Stderr, "%s took %.1f s\n", item.Name, time.Since(began).Seconds())
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// Scale returns n, or short in a short run.
func (l *Lab) Scale(n, short int) int {
	if l.Short {
		return short
	}
	return n
}

// Token returns a token of a user that outlives the run, also on a machine whose clock is
// ahead by some hours.
func Token(userID string) string {
	tokens := httpapi.Tokens{Secret: []byte(testserver.Secret)}
	token, _, err := tokens.Issue(userID, 24*time.Hour)
	if err != nil {
		panic(err) // fails only without a secret
	}
	return token
}

// Server is a server in a folder of its own.
type Server struct{ *testserver.Server }

// Prepare returns a server that isn't started yet. Its rate limits are too high to
// matter. It starts with a copy of a database, or with a new one if the path is "".
func (l *Lab) Prepare(database string, env ...string) (Server, error) {
	folder, err := os.MkdirTemp(l.Folder, "server-")
	if err != nil {
		return Server{}, err
	}
	s, err := testserver.New(l.Binary, folder, append([]string{"LIMITS__CALLS_PER_WINDOW=1000000000"}, env...)...)
	if err == nil && database != "" {
		err = copyFile(database, s.Database())
	}
	return Server{s}, err
}

// Start prepares and starts a server, and returns when it is ready.
func (l *Lab) Start(database string, env ...string) (Server, error) {
	s, err := l.Prepare(database, env...)
	if err != nil {
		return s, err
	}
	if err := s.Server.Start(); err != nil {
		s.End()
		return s, err
	}
	return s, nil
}

// End kills the server, and removes its folder.
func (s Server) End() {
	s.Kill()
	http.DefaultClient.CloseIdleConnections()
	os.RemoveAll(s.Folder)
}

// copyFile copies a file and syncs it. Otherwise the server's first fsync would wait
// for the copy.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	copied, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(copied, source)
	return errors.Join(err, copied.Sync(), copied.Close())
}

// Admin makes a call of the server API that must succeed. path is what follows
// /v1/admin/. The data of the response is decoded into data, unless data is nil.
func (s Server) Admin(ctx context.Context, path string, body, data any) error {
	return s.Must(ctx, "/v1/admin/"+path, testserver.AdminKey, body, data)
}

// atOnce is how many users one call may contain.
const atOnce = 1000

// Register registers users.
func (s Server) Register(ctx context.Context, users []string) error {
	for some := range slices.Chunk(users, atOnce) {
		if err := s.Admin(ctx, "importUsers", map[string]any{"userIDList": some}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Befriend adds friends to the list of a user, who thereby watches them.
func (s Server) Befriend(ctx context.Context, user string, friends ...string) error {
	return s.Admin(ctx, "addFriends", map[string]any{"userID": user, "friendIDList": friends, "mutual": false}, nil)
}

// Statuses returns the statuses of users by ID. Users that the server doesn't know are
// missing from it.
func (s Server) Statuses(ctx context.Context, users []string) (map[string]testserver.Status, error) {
	all := make(map[string]testserver.Status)
	for some := range slices.Chunk(users, atOnce) {
		var data struct{ SuccessUserList []testserver.Status }
		if err := s.Admin(ctx, "getUserStatus", map[string]any{"userIDList": some}, &data); err != nil {
			return nil, err
		}
		for _, status := range data.SuccessUserList {
			all[status.UserID] = status
		}
	}
	return all, nil
}

// Part returns the quantile of delays, which are in ascending order: 0.5 gives the
// median. Without delays it returns zero.
func Part(delays []time.Duration, part float64) time.Duration {
	if len(delays) == 0 {
		return 0
	}
	return delays[int(part*float64(len(delays)-1))]
}

// Millis returns a duration in milliseconds.
func Millis(d time.Duration) float64 { return d.Seconds() * 1000 }

// Names returns prefix-0 to prefix-(n-1).
func Names(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return names
}
