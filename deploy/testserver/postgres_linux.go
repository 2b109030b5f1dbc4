package testserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// PostgresPassword is the password of the role postgres, the owner of every Postgres.
const PostgresPassword = "a password for tests"

// Postgres is one PostgreSQL after another, all on the same address and data.
type Postgres struct {
	Address string // host:port
	Folder  string

	// Settings are those of postgresql.conf, as name=value. Changes count from the next
	// Start on.
	Settings []string

	programs   string // the folder with initdb and postgres
	credential *syscall.Credential
	command    *exec.Cmd
	log        output
	ended      chan struct{}
}

// ErrNoPostgres is returned by NewPostgres where PostgreSQL isn't installed.
var ErrNoPostgres = errors.New("PostgreSQL is not installed: initdb is neither in PATH nor in /usr/lib/postgresql")

// NewPostgres creates the data in a folder, and starts nothing yet. For root it gives the
// folder to the user postgres or nobody, who must be able to reach it, because PostgreSQL
// refuses to run as root.
func NewPostgres(folder string, settings ...string) (*Postgres, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	p := &Postgres{Address: address, Folder: folder, Settings: settings}
	if p.programs, err = postgresPrograms(); err != nil {
		return nil, err
	}
	if err := p.giveFolder(); err != nil {
		return nil, err
	}
	password := filepath.Join(folder, "password")
	if err := os.WriteFile(password, []byte(PostgresPassword), 0o644); err != nil {
		return nil, err
	}
	initdb := p.run("initdb", "--pgdata=data", "--username=postgres", "--pwfile=password", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return p, nil
}

// NewStandby copies the data of a server that runs into a folder, as NewPostgres creates
// it there. The new server will be a standby of it with a name, for synchronous_standby_names.
// The statement SELECT pg_promote() makes it a server of its own.
func (p *Postgres) NewStandby(folder, name string, settings ...string) (*Postgres, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &Postgres{Address: address, Folder: folder, Settings: settings, programs: p.programs}
	if err := s.giveFolder(); err != nil {
		return nil, err
	}
	source := p.URL("") + "?application_name=" + name
	backup := s.run("pg_basebackup", "--pgdata=data", "--dbname="+source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	if out, err := backup.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	return s, nil
}

// StartPostgres starts a PostgreSQL that belongs to a test: it is killed when the test
// ends. Where PostgreSQL isn't installed, Missing ends the test.
func StartPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	p, err := NewPostgres(postgresFolder(t), settings...)
	if errors.Is(err, ErrNoPostgres) {
		Missing(t, "%v", err)
	}
	return p.startFor(t, err)
}

// StartStandby starts a standby as StartPostgres starts a server.
func (p *Postgres) StartStandby(t testing.TB, name string, settings ...string) *Postgres {
	t.Helper()
	s, err := p.NewStandby(postgresFolder(t), name, settings...)
	return s.startFor(t, err)
}

// postgresFolder returns a folder that not only root can reach, unlike that of t.TempDir.
func postgresFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "presence-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

func (p *Postgres) startFor(t testing.TB, err error) *Postgres {
	t.Helper()
	if err == nil {
		t.Cleanup(p.Kill)
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func postgresPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		path, err = filepath.EvalSymlinks(path) // to the others
		return filepath.Dir(path), err
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // where Debian has it
	if len(found) == 0 {
		return "", ErrNoPostgres
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func (p *Postgres) giveFolder() error {
	if os.Getuid() != 0 {
		return nil
	}
	owner, err := user.Lookup("postgres")
	if err != nil {
		owner, err = user.Lookup("nobody")
	}
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	p.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.Folder, uid, gid)
}

// run returns a call of one of PostgreSQL's programs.
func (p *Postgres) run(program string, args ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(p.programs, program), args...)
	command.Dir = p.Folder
	command.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	command.Env = append(os.Environ(), "PGPASSWORD="+PostgresPassword)
	return command
}

// Start starts the server, and returns when it accepts connections.
func (p *Postgres) Start() error {
	host, port, _ := net.SplitHostPort(p.Address)
	args := []string{"-D", "data", "-h", host, "-p", port, "-c", "unix_socket_directories="}
	for _, setting := range p.Settings {
		args = append(args, "-c", setting)
	}
	command, ended := p.run("postgres", args...), make(chan struct{})
	command.Stdout, command.Stderr = &p.log, &p.log
	if err := command.Start(); err != nil {
		return err
	}
	p.command, p.ended = command, ended
	go func() {
		command.Wait() // for the children too, which write to the same log
		close(ended)
	}()
	for !p.accepts() {
		select {
		case <-ended:
			return fmt.Errorf("PostgreSQL ended before it accepted connections:\n%s", p.Log())
		case <-time.After(time.Millisecond): // asking without a pause would slow the start
		}
	}
	return nil
}

// accepts reads the file in which the server says so.
func (p *Postgres) accepts() bool {
	text, _ := os.ReadFile(filepath.Join(p.Folder, "data", "postmaster.pid"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[0] == strconv.Itoa(p.command.Process.Pid) && strings.TrimSpace(lines[len(lines)-1]) == "ready"
}

// URL returns the URL of a database for the role postgres.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres:%s@%s/%s", strings.ReplaceAll(PostgresPassword, " ", "%20"), p.Address, database)
}

// SQL runs statements in a database as the role postgres, and returns the rows, with | between
// the columns.
func (p *Postgres) SQL(database, statements string) (string, error) {
	host, port, _ := net.SplitHostPort(p.Address)
	psql := p.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "postgres", "-c", statements, database)
	out, err := psql.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w\n%s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// Stop stops the server as its service would: sessions end at once, and the data is
// written to disk.
func (p *Postgres) Stop() {
	p.command.Process.Signal(os.Interrupt)
	<-p.ended
}

// Pause stops all processes of the server until Continue, as if the machine hung.
func (p *Postgres) Pause() {
	p.command.Process.Signal(syscall.SIGSTOP) // first: then it starts no other
	for _, pid := range p.children() {
		syscall.Kill(pid, syscall.SIGSTOP)
	}
}

// Continue ends Pause.
func (p *Postgres) Continue() {
	for _, pid := range p.children() {
		syscall.Kill(pid, syscall.SIGCONT)
	}
	p.command.Process.Signal(syscall.SIGCONT)
}

// Kill kills all processes of the server, if it runs, and returns when they are gone.
func (p *Postgres) Kill() {
	if p.command == nil {
		return
	}
	p.Pause()
	for _, pid := range p.children() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	p.command.Process.Kill()
	<-p.ended
}

// children returns the processes of the server but the first one.
func (p *Postgres) children() (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, _ := os.ReadFile(stat)
		_, fields, _ := strings.Cut(string(text), ") ") // 123 (postgres) S 1 ...
		var parent int
		fmt.Sscanf(fields, "%s %d", new(string), &parent)
		if parent == p.command.Process.Pid {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// Log returns what the servers have printed.
func (p *Postgres) Log() string { return p.log.String() }
