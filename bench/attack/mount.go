//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mount mounts a file system of our own.
func (a *attacker) mount(kind, device, options string) (folder string, unmount func() error, err error) {
	if folder, err = os.MkdirTemp(a.folder, "disk-"); err != nil {
		return "", nil, err
	}
	if err := command("mount", "-t", kind, "-o", options, device, folder); err != nil {
		return "", nil, fmt.Errorf("needs a file system of its own: %w", err)
	}
	return folder, func() error { return command("umount", folder) }, nil
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// disk is an ext4 in a file.
type disk struct {
	image, folder string
}

const diskOptions = "loop,errors=remount-ro"

func (a *attacker) newDisk() (*disk, error) {
	folder, err := os.MkdirTemp(a.folder, "image-")
	if err != nil {
		return nil, err
	}
	d := &disk{image: filepath.Join(folder, "image")}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(64<<20), f.Close(), command("mkfs.ext4", "-q", d.image)); err != nil {
		return nil, err
	}
	d.folder, _, err = a.mount("ext4", d.image, diskOptions)
	return d, err
}

func (d *disk) database() string { return filepath.Join(d.folder, "presence.db") }
func (d *disk) unmount() error   { return command("umount", d.folder) }
func (d *disk) freeze() error    { return command("fsfreeze", "--freeze", d.folder) }
func (d *disk) thaw() error      { return command("fsfreeze", "--unfreeze", d.folder) }

// thawAfter has the disk stand still for a time.
func (d *disk) thawAfter(ctx context.Context, wait time.Duration) error {
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	return d.thaw()
}

// fail has the kernel find a fault in the file system.
func (d *disk) fail() error {
	device, err := exec.Command("findmnt", "-n", "-o", "SOURCE", d.folder).Output()
	if err != nil {
		return err
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
	return os.WriteFile(trigger, []byte("attack"), 0)
}

// remount mends the file system as it is on the disk now, and mounts it anew.
func (d *disk) remount() error {
	mended := d.image + ".mended"
	if err := command("cp", "--sparse=always", d.image, mended); err != nil {
		return err
	}
	if err := command("e2fsck", "-fy", mended); err != nil && !strings.Contains(err.Error(), "exit status 1") {
		return err
	}
	return errors.Join(d.unmount(), command("mount", "-o", diskOptions, mended, d.folder))
}
