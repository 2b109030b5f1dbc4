package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// notRun matches the lines of the README that change the machine, or that read what
// the test doesn't own.
var notRun = regexp.MustCompile(`^(sudo (install|useradd|systemctl (daemon-reload|enable))|alias|docker|systemctl status|presence webhook|journalctl|df|timedatectl|deploy/build)\b`)

// TestReadme runs the commands of deploy/README.md, line by line, with a server in a
// folder of the test.
func TestReadme(t *testing.T) {
	ops := freeAddress(t)
	s := startServer(t, "OPS__LISTEN="+ops, "AUTH__SECRET=", "TIMING__KEEPALIVE=1s")
	r := reader{t: t, ctx: bounded(t), server: s, replace: strings.NewReplacer(
		"localhost:8080", s.Address,
		"localhost:9100", ops,
		"https://presence.example.com", s.URL,
		"/var/lib/presence", s.Folder,
		"$(date +%F)", "2026-11-25",
	)}
	s.Admin("importUsers", map[string]any{"userIDList": []string{"alice"}}, nil)
	ran := make(map[string]bool)
	readme := read(t, "README.md")
	readme = strings.Replace(readme, section(t, readme, "## Several nodes"), "", 1) // TestReadmeOfSeveralNodes runs these
	for _, block := range blocks(readme, "sh") {
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			if !ran[line] && !notRun.MatchString(line) {
				r.run(line)
			}
			ran[line] = !strings.HasPrefix(line, "sudo")
		}
	}
	if len(ran) < 30 {
		t.Errorf("only %d lines were found", len(ran))
	}
}

// section returns the text below a heading, up to the next heading of the same level.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, below, ok := strings.Cut(text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("the README has no %q", heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	below, _, _ = strings.Cut(below, "\n"+level+" ")
	return below
}

// blocks returns the contents of the code blocks in a language.
func blocks(text, language string) (all []string) {
	for _, block := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		all = append(all, block[1])
	}
	return all
}

// reader is a person who follows the README.
type reader struct {
	t       *testing.T
	ctx     context.Context
	server  *server.Child
	replace *strings.Replacer
}

func (r reader) run(line string) {
	r.t.Helper()
	switch line {
	case "sudo systemctl stop presence":
		r.stop()
		return
	case "sudo systemctl start presence":
		r.server.Start()
		return
	case "sudo systemctl restart presence":
		r.stop()
		r.server.Start()
		return
	}
	script := fmt.Sprintf("presence() { command %q \"$@\"; }; pidof() { echo %d; }; sudo() { \"$@\"; }; ADMIN_KEY=%q; set -o pipefail\n",
		binary(r.t), r.server.Pid(), server.AdminKey) + r.replace.Replace(line)
	command, like := exec.CommandContext(r.ctx, "bash", "-c", script), r.server.Command()
	command.Dir, command.Env = like.Dir, like.Env
	out, err := command.CombinedOutput()
	exit, _ := errors.AsType[*exec.ExitError](err)
	const timedOut = 28 // of curl
	if exit != nil && exit.ExitCode() == timedOut && strings.Contains(string(out), "event: READY") {
		return
	}
	if err != nil || strings.Contains(string(out), `"code":7`) || len(out) == 0 && !strings.Contains(line, " -o ") && !strings.HasPrefix(line, "sudo mv ") {
		r.t.Errorf("$ %s\n%s%v", line, out, err)
	}
}

func (r reader) stop() {
	r.server.Signal(syscall.SIGTERM)
	if code := r.server.Wait(); code != 0 {
		r.t.Errorf("exit code %d\n%s", code, r.server.Log())
	}
}

// TestReadmeNamesWhatIsThere checks that the keys, files, calls, metrics and codes in
// the README exist.
func TestReadmeNamesWhatIsThere(t *testing.T) {
	readme, api, compose := read(t, "README.md"), read(t, "../httpapi/openapi.yaml"), read(t, "compose-cluster.yaml")
	source := sources(t, "../*.go", "../httpapi/*.go", "../presence/*.go", "../presence/store/*.go", "../sdk/*.js")
	keys := keysOf(read(t, "../presence.toml"))
	for pattern, there := range map[string]func(name string) bool{
		"`((?:database|auth|features|limits|timing|tls|cors|webhooks|cluster|ops|log)\\.[a-z_]+)\\b": func(name string) bool { return keys[name] },
		`PRESENCE_([A-Z_]+)`: func(name string) bool {
			return keys[strings.ReplaceAll(strings.ToLower(name), "__", ".")] || strings.Contains(compose, "${PRESENCE_"+name)
		},
		`\]\(([^)#]+)\)`: func(name string) bool {
			_, err := os.Stat(name)
			return err == nil || strings.HasPrefix(name, "https://")
		},
		`\b(deploy/[a-zA-Z.-]+)`: func(name string) bool {
			_, err := os.Stat(filepath.Join("..", name))
			return err == nil || name == "deploy/.env" || name == "deploy/presence.db.secret" // the commands create these
		},
		`(/v1/[a-zA-Z/]+[a-zA-Z])`: func(name string) bool { return strings.Contains(api, "\n  "+name+":\n") || name == "/v1/admin" },
		"`(presence_[a-z_]+)`":     func(name string) bool { return strings.Contains(source, `"`+name+`"`) },
		`\b(7\d{4})\b`:             func(name string) bool { return strings.Contains(source, " = "+name) },
	} {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(readme, -1)
		if len(found) == 0 {
			t.Errorf("nothing matches %s", pattern)
		}
		for _, name := range found {
			if !there(name[1]) {
				t.Errorf("there is no %s", name[1])
			}
		}
	}
	for _, message := range []string{"in use by another process", "not a presence database", "can't be written", "the log has lost it", "its tables were removed or replaced"} {
		if !strings.Contains(readme, message) || !strings.Contains(source, message) {
			t.Errorf("%q should be in the README because the program prints it", message)
		}
	}
}

func sources(t *testing.T, patterns ...string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				all.WriteString(read(t, file))
			}
		}
	}
	return all.String()
}

// keysOf returns the keys of a TOML file, as table.key.
func keysOf(text string) map[string]bool {
	keys, table := make(map[string]bool), ""
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "["); ok {
			table = strings.TrimSuffix(strings.TrimSpace(name), "]") + "."
		}
		if key, _, ok := strings.Cut(line, " = "); ok && !strings.HasPrefix(line, "#") {
			keys[table+key] = true
		}
	}
	return keys
}
