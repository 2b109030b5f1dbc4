package deploy_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// image is what an engine has built from the Dockerfile: its files, and how to run it.
type image struct {
	root   string
	config struct {
		User, WorkingDir     string
		Env, Entrypoint      []string
		Volumes              map[string]struct{}
		Healthcheck          struct{ Test []string }
		StopSignal           string
		ExposedPorts, Labels map[string]any
	}
}

func buildImage(t *testing.T) image {
	t.Helper()
	buildah, folder := server.Require(t, "buildah", "it builds the image"), t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(bounded(t), buildah, append([]string{
			"--root", filepath.Join(folder, "root"), "--runroot", filepath.Join(folder, "run"), "--storage-driver", "vfs"}, args...)...)
		var stderr bytes.Buffer
		command.Stderr = &stderr
		out, err := command.Output()
		if err != nil {
			t.Fatalf("buildah %s: %v\n%s", args, err, &stderr)
		}
		return strings.TrimSpace(string(out))
	}
	run("build", "--format", "docker", "-f", "Dockerfile", "-t", "presence", filepath.Dir(binary(t)))
	var inspected struct {
		Docker struct{ Config json.RawMessage }
	}
	var i image
	if err := json.Unmarshal([]byte(run("inspect", "--type", "image", "presence")), &inspected); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(inspected.Docker.Config, &i.config); err != nil {
		t.Fatal(err)
	}
	container := run("from", "presence")
	i.root = run("mount", container)
	t.Cleanup(func() { exec.Command(buildah, "--root", filepath.Join(folder, "root"), "umount", container).Run() })
	return i
}

// readOnly mounts the image as a container would see it. Nothing can be written but a
// volume, which is created as an engine creates it, with the owner of the folder in
// the image.
func (i image) readOnly(t *testing.T) {
	t.Helper()
	volume, inside := t.TempDir(), filepath.Join(i.root, i.config.WorkingDir)
	info, err := os.Stat(inside)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(volume, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	mount := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
			t.Fatalf("mount %s: %s", args, out)
		}
	}
	mount("--bind", i.root, i.root)
	t.Cleanup(func() { exec.Command("umount", "-R", i.root).Run() })
	mount("--bind", volume, inside)
	mount("-o", "remount,bind,ro", i.root)
}

// run returns the process that an engine runs: the command of the image, as PID 1,
// with the given additions to the environment.
func (i image) run(t *testing.T, arguments []string, env ...string) *exec.Cmd {
	t.Helper()
	if i.config.User != "65532:65532" {
		t.Fatalf("the user of the image is %q", i.config.User)
	}
	command := exec.CommandContext(bounded(t), arguments[0], arguments[1:]...)
	command.Dir = i.config.WorkingDir
	command.Env = append(append([]string{}, i.config.Env...), env...)
	command.SysProcAttr = &syscall.SysProcAttr{
		Chroot: i.root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}, Cloneflags: syscall.CLONE_NEWPID,
	}
	return command
}

// TestImage builds the image, and runs it on a read-only root, without privileges.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		server.Missing(t, "only root can run an image")
	}
	i := buildImage(t)
	i.hasNothingElse(t)
	i.readOnly(t)

	listen := "PRESENCE_LISTEN=" + freeAddress(t)
	var log bytes.Buffer
	server := i.run(t, i.config.Entrypoint, listen)
	server.Stderr = &log
	if out, err := i.healthcheck(t, listen); err == nil {
		t.Errorf("healthy before it runs: %s", out)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	i.awaitHealthy(t, ended, listen, &log)
	for _, name := range []string{"presence.db", "presence.db.secret"} {
		if _, err := os.Stat(filepath.Join(i.root, "data", name)); err != nil {
			t.Errorf("the database isn't in the volume: %v", err)
		}
	}

	server.Process.Signal(syscall.SIGTERM) // PID 1 has no default action for the signal
	if err := <-ended; err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, &log)
	}
	if out, err := i.healthcheck(t, listen); err == nil {
		t.Errorf("healthy after it ended: %s", out)
	}
}

func (i image) hasNothingElse(t *testing.T) {
	t.Helper()
	var files []string
	filepath.WalkDir(i.root, func(path string, entry fs.DirEntry, err error) error {
		if path != i.root {
			files = append(files, strings.TrimPrefix(path, i.root))
		}
		return err
	})
	if got := strings.Join(files, " "); got != "/data /presence" {
		t.Errorf("the image contains %s", got)
	}
	if _, ok := i.config.Volumes["/data"]; !ok || i.config.StopSignal != "SIGTERM" || i.config.ExposedPorts["8080/tcp"] == nil {
		t.Errorf("the image has no volume, no port or no stop signal: %+v", i.config)
	}
}

// healthcheck runs the health check of the image, next to the server.
func (i image) healthcheck(t *testing.T, env ...string) (string, error) {
	t.Helper()
	if len(i.config.Healthcheck.Test) < 2 || i.config.Healthcheck.Test[0] != "CMD" {
		t.Fatalf("the health check needs a shell: %q", i.config.Healthcheck.Test)
	}
	out, err := i.run(t, i.config.Healthcheck.Test[1:], env...).CombinedOutput()
	return string(out), err
}

func (i image) awaitHealthy(t *testing.T, ended <-chan error, listen string, log *bytes.Buffer) {
	t.Helper()
	ctx := bounded(t)
	for {
		out, err := i.healthcheck(t, listen)
		if err == nil {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("the container ended before it was healthy: %v\n%s", err, log)
		case <-ctx.Done():
			t.Fatalf("the container never becomes healthy: %s", out)
		default:
		}
	}
}
