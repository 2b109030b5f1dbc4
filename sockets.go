package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
)

// openListeners returns the sockets that systemd has passed (LISTEN_FDS) or, if it has
// passed none, those that listen names. With -dev the server takes none from systemd,
// because they may be public.
func (c *config) openListeners(dev bool) ([]net.Listener, error) {
	passed, err := activation.Listeners()
	switch {
	case err != nil:
		return nil, err
	case len(passed) > 0 && dev:
		return nil, errors.New("-dev takes no sockets from systemd: start it without LISTEN_FDS")
	case len(passed) > 0:
		return passed, checkPassed(passed)
	}
	var opened []net.Listener
	for _, value := range c.Listen {
		l, err := c.openListener(value)
		if err != nil {
			for _, l := range opened {
				l.Close()
			}
			return nil, err
		}
		opened = append(opened, l)
	}
	return opened, nil
}

// checkPassed returns an error if systemd has passed something else than sockets on
// which connections arrive.
func checkPassed(passed []net.Listener) error {
	for i, l := range passed {
		if l == nil {
			return fmt.Errorf("socket %d of LISTEN_FDS is not a stream socket: the socket unit needs ListenStream= and Accept=no", i)
		}
	}
	return nil
}

func (c *config) openListener(value string) (net.Listener, error) {
	network, address := splitListen(value)
	if network == "unix" {
		return c.openSocket(address)
	}
	return listenTCP("listen", address)
}

// openSocket creates the socket file path, with the permissions of listen_mode. It
// replaces one on which nobody listens, as is left by a server that was killed.
func (c *config) openSocket(path string) (net.Listener, error) {
	wrong := func(reason string) error {
		return problems{{"listen", fmt.Sprintf("listen = %q: %s", "unix:"+path, reason)}}
	}
	if reason := checkSocketPath(path); reason != "" {
		return nil, wrong(reason)
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		conn.Close()
		return nil, wrong("a server listens there already; stop it, or choose another path")
	case errors.Is(err, syscall.ECONNREFUSED):
		if err := os.Remove(path); err != nil {
			return nil, wrong(err.Error())
		}
	case !errors.Is(err, os.ErrNotExist): // such as no permission, or a server that is too busy to accept
		return nil, wrong(err.Error())
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, wrong(err.Error())
	}
	mode, _ := c.socketMode()
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, wrong(err.Error())
	}
	return l, nil
}

// listenTCP listens on address, which has the form host:port. key is the key of the
// configuration that gives it; an error names it, and says what to do about the usual
// causes.
func listenTCP(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: another program uses this port; stop it, or choose another address, such as %s=127.0.0.1:8081", err, variableOf(key))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w: this machine has no such address; set %s to one that it has, or to \":8080\" for all", err, key)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w: ports below 1024 need a privilege (see deploy/README.md); choose a higher one, such as %s=:8080", err, variableOf(key))
	case err != nil:
		return nil, err
	}
	return l, nil
}
