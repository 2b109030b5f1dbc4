package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxSocketPath is the maximum length of the path of a unix socket on Linux.
const maxSocketPath = 107

// splitListen returns what net.Listen needs for a value of listen: the network, and
// the address or path.
func splitListen(value string) (network, address string) {
	if path, ok := strings.CutPrefix(value, "unix:"); ok {
		return "unix", path
	}
	return "tcp", value
}

// checkListen returns the first reason why the server could not listen there, with
// the value that it concerns.
func (c *config) checkListen(dev bool) (value any, reason string) {
	if len(c.Listen) == 0 {
		return c.Listen, "must name an address"
	}
	for _, value := range c.Listen {
		network, address := splitListen(value)
		switch {
		case network == "unix" && checkSocketPath(address) != "":
			return value, checkSocketPath(address)
		case network == "tcp" && !isAddress(value):
			return value, `must be host:port, such as "127.0.0.1:8080" or ":8080", or unix:/path, or a list of these`
		case dev && !isLoopback(value):
			return value, "must be on loopback with -dev"
		}
	}
	return nil, ""
}

// checkSocketPath returns why no socket can be created at path, or "". It doesn't
// check that no server listens there: that may be this one.
func checkSocketPath(path string) (reason string) {
	info, err := os.Lstat(path)
	switch {
	case !filepath.IsAbs(path):
		return "must be unix: and an absolute path, such as unix:/run/presence/presence.sock"
	case len(path) > maxSocketPath:
		return fmt.Sprintf("the path of a socket has at most %d bytes", maxSocketPath)
	case err == nil && info.Mode().Type() != os.ModeSocket:
		return "this file exists and is not a socket: remove it, or choose another path"
	}
	return ""
}

// socketMode returns the permissions of a unix socket, from listen_mode. ok is false
// if that isn't an octal number of permissions.
func (c *config) socketMode() (mode os.FileMode, ok bool) {
	n, err := strconv.ParseUint(c.ListenMode, 8, 32)
	return os.FileMode(n), err == nil && n > 0 && n <= 0o777
}

func isAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	_, number := strconv.ParseUint(port, 10, 16)
	return err == nil && number == nil
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
