// Package testserver runs the built program as a child process, for tests and
// benchmarks: on a free port, in a folder of its own, to be killed and started
// again there.
package testserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// The secrets of every server that New makes.
const (
	Secret   = "a secret for tests, 32 bytes long"
	AdminKey = "an admin key for tests, 32 bytes"
)

// Server is one child process after another, all on the same address and
// database.
type Server struct {
	URL     string // without a slash at the end
	Address string // host:port
	Folder  string // the working folder
	Binary  string // another one counts from the next start on
	Flags   []string
	Sockets []*os.File // that systemd would pass

	// Through is a command that runs the program, such as env or ip netns exec. It must
	// become the program, so that the process is the same. Nil means none.
	Through []string

	// Env is added to the configuration, as SECTION__KEY=value.
	Env []string

	command *exec.Cmd
	log     output
	ended   chan struct{}
}

// FreeAddress returns a loopback address for a program that can't choose one by
// itself. The kernel gives no connection to elsewhere a port of this range, so
// that the port is still free when the program starts.
func FreeAddress() (string, error) {
	var err error
	for range 1000 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.N(20_000))); err == nil {
			defer l.Close()
			return l.Addr().String(), nil
		}
	}
	return "", err
}

// New returns a server that isn't started yet.
func New(binary, folder string, env ...string) (*Server, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	return &Server{URL: "http://" + address, Address: address, Folder: folder, Env: env, Binary: binary}, nil
}

// Launch starts the process, and doesn't wait until it is ready.
func (s *Server) Launch() error {
	s.command = s.Command(s.Flags...)
	if len(s.Sockets) > 0 {
		s.command = s.passing(s.command)
	}
	s.command.Stdout, s.command.Stderr = &s.log, &s.log
	if err := s.command.Start(); err != nil {
		return err
	}
	command, ended := s.command, make(chan struct{})
	s.ended = ended
	go func() {
		command.Wait()
		close(ended)
	}()
	return nil
}

// passing returns the command with the sockets passed to it, as systemd does.
func (s *Server) passing(command *exec.Cmd) *exec.Cmd {
	script := fmt.Sprintf(`LISTEN_PID=$$ LISTEN_FDS=%d exec "$0" "$@"`, len(s.Sockets))
	passing := exec.Command("sh", append([]string{"-c", script}, command.Args...)...)
	passing.Dir, passing.Env, passing.ExtraFiles = command.Dir, command.Env, s.Sockets
	return passing
}

// Command returns a call of the program with the server's configuration.
func (s *Server) Command(args ...string) *exec.Cmd {
	args = slices.Concat(s.Through, []string{s.Binary}, args)
	command := exec.Command(args[0], args[1:]...)
	command.Dir = s.Folder
	command.Env = s.environment()
	return command
}

// Start starts the process, and returns when it is ready.
func (s *Server) Start() error {
	if err := s.Launch(); err != nil {
		return err
	}
	for {
		response, err := http.Get(s.URL + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the server ended before it was ready:\n%s", s.Log())
		case <-time.After(time.Millisecond): // asking without a pause would slow the start
		}
	}
}

// environment leaves out what is meant for the tests, because the server
// refuses keys that it doesn't know.
func (s *Server) environment() []string {
	var env []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "PRESENCE_") {
			env = append(env, setting)
		}
	}
	env = append(env, "TMPDIR="+s.Folder, "PRESENCE_LISTEN="+s.Address, "PRESENCE_AUTH__SECRET="+Secret, "PRESENCE_AUTH__ADMIN_KEY="+AdminKey)
	for _, setting := range s.Env {
		env = append(env, "PRESENCE_"+setting)
	}
	return env
}

// Database returns the path of the database.
func (s *Server) Database() string { return filepath.Join(s.Folder, "presence.db") }

// Pid returns the process ID.
func (s *Server) Pid() int { return s.command.Process.Pid }

// Signal sends a signal to the process.
func (s *Server) Signal(signal os.Signal) error { return s.command.Process.Signal(signal) }

// Wait waits until the process has ended, and returns its exit code, which is
// -1 if a signal ended it.
func (s *Server) Wait() int {
	<-s.ended
	return s.command.ProcessState.ExitCode()
}

// Kill ends the process as kill -9 does. If it isn't running, it does nothing.
func (s *Server) Kill() {
	if s.command == nil || s.command.Process == nil {
		return
	}
	s.command.Process.Kill()
	<-s.ended
}

// Log returns what the processes have printed.
func (s *Server) Log() string { return s.log.String() }

// output gathers what a process prints, to be read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds text.
func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

// String returns all of it.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Answer is what a call answers.
type Answer struct {
	Status  int // of HTTP
	Code    int
	Message string
	Data    json.RawMessage
}

// Call makes one call of the API, a GET if body is nil.
func (s *Server) Call(ctx context.Context, path, token string, body any) (Answer, error) {
	var answer Answer
	method, text := http.MethodGet, []byte(nil)
	if body != nil {
		method = http.MethodPost
		var err error
		if text, err = json.Marshal(body); err != nil {
			return answer, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewReader(text))
	if err != nil {
		return answer, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	answer.Status = response.StatusCode
	return answer, json.NewDecoder(response.Body).Decode(&answer)
}

// CallInto is Call that decodes the data of a call that succeeded.
func (s *Server) CallInto(ctx context.Context, path, token string, body, data any) (Answer, error) {
	answer, err := s.Call(ctx, path, token, body)
	if err != nil || answer.Code != 0 || data == nil {
		return answer, err
	}
	return answer, json.Unmarshal(answer.Data, data)
}

// Must is Call for what has to succeed: an answer with a code is an error. It
// decodes the data into data, if that isn't nil.
func (s *Server) Must(ctx context.Context, path, token string, body, data any) error {
	answer, err := s.CallInto(ctx, path, token, body, data)
	if err == nil && answer.Code != 0 {
		err = fmt.Errorf("%s answered %d: %s", path, answer.Code, answer.Message)
	}
	return err
}

// Token issues a token that lives for so many seconds.
func (s *Server) Token(ctx context.Context, userID string, seconds int) (string, error) {
	var issued struct{ Token string }
	body := map[string]any{"userID": userID, "expiresIn": seconds}
	err := s.Must(ctx, "/v1/admin/issueToken", AdminKey, body, &issued)
	return issued.Token, err
}
