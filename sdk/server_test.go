package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testSecret   = "a secret for tests, 32 bytes long"
	testAdminKey = "an admin key for tests, 32 bytes"
	patience     = time.Minute // for one test; every wait inside is for the event itself
)

// binary builds the server once for all tests, unless PRESENCE_BINARY names one that is built already.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("PRESENCE_BINARY"); path != "" {
		return path, nil
	}
	folder, err := os.MkdirTemp("", "presence-sdk-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "presence")
	out, err := exec.Command("go", "build", "-o", path, "..").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil && path != os.Getenv("PRESENCE_BINARY") {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// require skips the test where a program is missing, and fails it where CI promises to have it.
func require(t *testing.T, program, why string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	missing(t, "%s is not installed: %s", program, why)
	return ""
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("PRESENCE_CI") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// A server is the built binary on a free port, in a folder of its own.
type server struct {
	t       *testing.T
	address string
	url     string
	flags   []string
	env     []string
	folder  string
	command *exec.Cmd
	ended   <-chan struct{}
}

// startServer starts a server that ends with the test. Without -dev it keeps its database, so that it can be killed and
// started again. env adds to its configuration, as KEY=value without the prefix.
func startServer(t *testing.T, dev bool, env ...string) *server {
	t.Helper()
	s := &server{t: t, address: freeAddress(t), folder: t.TempDir()}
	s.url = "http://" + s.address
	s.env = append(os.Environ(), "PRESENCE_LISTEN="+s.address, "PRESENCE_AUTH__ADMIN_KEY="+testAdminKey)
	if dev {
		s.flags = []string{"-dev"}
	} else {
		s.env = append(s.env, "PRESENCE_AUTH__SECRET="+testSecret,
			"PRESENCE_DATABASE__PATH="+filepath.Join(s.folder, "presence.db"))
	}
	for _, setting := range env {
		s.env = append(s.env, "PRESENCE_"+setting)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// start returns when the server is ready.
func (s *server) start() {
	s.t.Helper()
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	s.command = exec.Command(path, s.flags...)
	s.command.Dir, s.command.Env = s.folder, s.cleanEnv()
	s.ended = run(s.t, s.command, s.url+"/readyz")
}

// run starts a program and returns when url answers 200. The channel is closed when the program has ended.
func run(t *testing.T, command *exec.Cmd, url string) <-chan struct{} {
	t.Helper()
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		command.Wait()
		close(ended)
	}()
	for !answers(url) {
		select {
		case <-ended:
			t.Fatalf("%s ended before it was ready:\n%s", command.Path, &said)
		default:
		}
	}
	return ended
}

func answers(url string) bool {
	response, err := http.Get(url)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// cleanEnv leaves out what is meant for these tests, because the server refuses keys that it doesn't know.
func (s *server) cleanEnv() []string {
	return slices.DeleteFunc(slices.Clone(s.env), func(setting string) bool {
		return strings.HasPrefix(setting, "PRESENCE_CI=") || strings.HasPrefix(setting, "PRESENCE_BINARY=")
	})
}

// kill is kill -9.
func (s *server) kill() {
	s.command.Process.Kill()
	<-s.ended
}

// call makes one call of the API and puts its data into data.
func (s *server) call(method, path, token string, body, data any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	request, err := http.NewRequest(method, s.url+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	answer := struct {
		Code    int
		Message string
		Data    any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	if answer.Code != 0 {
		s.t.Fatalf("%s answered %d: %s", path, answer.Code, answer.Message)
	}
}

func (s *server) admin(path string, body, data any) {
	s.t.Helper()
	s.call(http.MethodPost, "/v1/admin/"+path, testAdminKey, body, data)
}

// befriend registers two users as friends.
func (s *server) befriend(userID, friendID string) {
	s.t.Helper()
	s.admin("importUsers", map[string]any{"userIDList": []string{userID, friendID}}, &struct{}{})
	s.admin("addFriends", map[string]any{"userID": userID, "friendIDList": []string{friendID}}, &struct{}{})
}

// token issues one that lives for so many seconds.
func (s *server) token(userID string, seconds int) string {
	s.t.Helper()
	var issued struct{ Token string }
	s.admin("issueToken", map[string]any{"userID": userID, "expiresIn": seconds}, &issued)
	return issued.Token
}

// streams is how many streams are open in all.
func (s *server) streams() int {
	s.t.Helper()
	var stats struct{ Streams int }
	s.call(http.MethodGet, "/v1/admin/stats", testAdminKey, nil, &stats)
	return stats.Streams
}

// devices are those that the server knows of a user.
func (s *server) devices(userID string) []any {
	s.t.Helper()
	var explained struct{ Devices []any }
	s.call(http.MethodGet, "/v1/admin/explain?userID="+userID, testAdminKey, nil, &explained)
	return explained.Devices
}

func withPatience(t *testing.T, parent context.Context) context.Context {
	ctx, cancel := context.WithTimeout(parent, patience)
	t.Cleanup(cancel)
	return ctx
}
