package deploy_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// TestUnitLetsItWork checks that the unit forbids nothing that the server does. strace
// watches the server from start to stop, with streams and writes, because a test can't
// always run a unit.
func TestUnitLetsItWork(t *testing.T) {
	trace := watched(t)
	text := read(t, "presence.service")

	allowed := systemCalls(t, text)
	made := regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(trace, -1)
	if len(made) < 500 || len(allowed) < 100 {
		t.Fatalf("%d system calls seen, %d allowed: that can't be all", len(made), len(allowed))
	}
	allowed["fchown"] = true // SQLite does this only as root, and the unit's user isn't root
	for _, call := range made {
		if !allowed[call[1]] {
			t.Errorf("SystemCallFilter forbids %s", call[1])
			allowed[call[1]] = true
		}
	}
	for _, found := range regexp.MustCompile(`socket\((AF_\w+)`).FindAllStringSubmatch(trace, -1) {
		if !regexp.MustCompile(`(?m)^RestrictAddressFamilies=.*\b` + found[1] + `\b`).MatchString(text) {
			t.Errorf("RestrictAddressFamilies forbids %s", found[1])
		}
	}
	if found := regexp.MustCompile(`.*(mmap|mprotect)\(.*PROT_EXEC.*`).FindString(trace); found != "" {
		t.Errorf("MemoryDenyWriteExecute may forbid %s", found)
	}
	if strings.Contains(trace, `"/proc/sys/`) && strings.Contains(text, "\nProcSubset=pid") {
		t.Error("ProcSubset forbids /proc/sys")
	}
}

// watched returns every system call that a server makes from start to stop.
func watched(t *testing.T) string {
	t.Helper()
	strace, path := server.Require(t, "strace", "it lists the system calls of the server"), filepath.Join(t.TempDir(), "trace")
	listen(t) // so that the server notifies systemd, too
	s := server.NewChild(t, strace)
	s.Flags = []string{"-f", "-qq", "-o", path, binary(t)}
	s.Start()
	stream := s.Open("alice", "0")
	s.Set("alice", "watched")
	s.Awaits(stream, "alice", "1 watched")
	stop(t, s)
	return read(t, path)
}

// stop ends the server that strace has started. strace then ends as well.
func stop(t *testing.T, strace *server.Child) {
	t.Helper()
	children := read(t, fmt.Sprintf("/proc/%d/task/%[1]d/children", strace.Pid()))
	pid, err := strconv.Atoi(strings.TrimSpace(children))
	if err != nil {
		t.Fatalf("strace has the children %q", children)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := strace.Wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, strace.Log())
	}
}

// systemCalls returns the system calls that a unit allows.
func systemCalls(t *testing.T, unit string) map[string]bool {
	t.Helper()
	out, err := exec.Command(server.Require(t, "systemd-analyze", "it lists the system calls that the unit allows"), "syscall-filter", "--no-pager").Output()
	if err != nil {
		t.Fatal(err)
	}
	groups, group := make(map[string][]string), ""
	for line := range strings.Lines(string(out)) {
		switch name := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "@"):
			group = name
		case name != "" && !strings.HasPrefix(name, "#"):
			groups[group] = append(groups[group], name)
		}
	}
	allowed := make(map[string]bool)
	var put func(name string, allow bool)
	put = func(name string, allow bool) {
		if !strings.HasPrefix(name, "@") {
			allowed[name] = allow
		}
		for _, part := range groups[name] {
			put(part, allow)
		}
	}
	put("@default", true) // as systemd resolves them
	for _, filter := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(unit, -1) {
		for _, name := range strings.Fields(filter[2]) {
			put(name, filter[1] == "")
		}
	}
	return allowed
}
