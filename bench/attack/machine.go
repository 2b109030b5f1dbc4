//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/presence-server/presence/deploy/testserver"
	"golang.org/x/sys/unix"
)

// clock sets the clock under a server, and suspends the machine. It must not do that
// to the machine that others work on, so it starts a virtual machine: the system's
// kernel in QEMU, whose only programs are the server and this one. See beMachine.
func (a *attacker) clock(ctx context.Context, r *report) error {
	kernels, err := filepath.Glob("/boot/vmlinuz-*")
	if err != nil || len(kernels) == 0 {
		r.skipped = "needs a kernel in /boot (Debian's linux-image-cloud-amd64)"
		return nil
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		r.skipped = "needs qemu-system-x86_64"
		return nil
	}
	image, err := a.image()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, qemu, "-machine", "pc,accel=tcg", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot",
		"-nic", "none", "-kernel", slices.Max(kernels), "-initrd", image, "-append", "console=ttyS0 quiet panic=-1")
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	text, err := io.ReadAll(out)
	err = errors.Join(err, command.Wait())
	_, line, _ := strings.Cut(string(text), reported)
	if err := errors.Join(err, json.NewDecoder(strings.NewReader(line)).Decode(r)); err != nil {
		return fmt.Errorf("the machine did not end: %w\n%s", err, text)
	}
	return nil
}

// reported is what a machine prints before its report.
const reported = "ATTACK "

// image creates the first file system of a machine. It is a cpio archive, see
// Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
func (a *attacker) image() (path string, err error) {
	var archive bytes.Buffer
	add := func(name string, mode int, content []byte) {
		fmt.Fprintf(&archive, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
			archive.Len()+1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
		archive.WriteString(name + "\x00")
		archive.Write(make([]byte, -archive.Len()&3))
		archive.Write(content)
		archive.Write(make([]byte, -archive.Len()&3))
	}
	for _, folder := range []string{"dev", "proc", "sys", "tmp"} {
		add(folder, unix.S_IFDIR|0o755, nil)
	}
	static := []string{"-tags", "netgo,osusergo"} // the machine has no libraries
	presence, err := testserver.Build(a.Folder+"/static", static...)
	if err != nil {
		return "", err
	}
	init := filepath.Join(a.Folder, "init")
	args := append([]string{"build", "-o", init}, static...)
	if out, err := exec.Command("go", append(args, "github.com/presence-server/presence/bench/attack")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	for name, built := range map[string]string{"init": init, "presence": presence} {
		content, err := os.ReadFile(built)
		if err != nil {
			return "", err
		}
		add(name, unix.S_IFREG|0o755, content)
	}
	add("TRAILER!!!", 0, nil)
	path = filepath.Join(a.Folder, "initrd")
	return path, os.WriteFile(path, archive.Bytes(), 0o600)
}
