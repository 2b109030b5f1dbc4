package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence/store"
)

// secret returns the key that tokens are signed with. If there is none in the
// configuration, it is in a file of its own, which is created at the first start.
func (c config) secret() ([]byte, error) {
	if c.Auth.Secret != "" {
		return []byte(c.Auth.Secret), nil
	}
	return secretFile(c.secretFile())
}

func (c config) secretFile() string { return c.Database.Path + ".secret" }

// secretPlace returns where the secret is: the file, or the key.
func (c config) secretPlace() string {
	switch {
	case c.Auth.SecretFile != "":
		return c.Auth.SecretFile
	case c.Auth.Secret != "":
		return "auth.secret"
	}
	return c.secretFile()
}

// lacksSecret reports whether the server has yet to create one.
func (c config) lacksSecret() bool {
	if c.Auth.Secret != "" || c.Auth.SecretFile != "" {
		return false
	}
	_, err := os.Stat(c.secretFile())
	return errors.Is(err, fs.ErrNotExist)
}

// checkSecret returns an error if the server could not use its secret.
func (c config) checkSecret() error {
	if c.lacksSecret() {
		fmt.Println("the next start creates", c.secretFile()+": tokens signed with another secret are refused then")
		return nil
	}
	_, err := c.secret()
	return err
}

// issue returns a token for a user. Unlike the server it creates no secret: a
// file created by the user who runs a command could be unreadable for the server.
func (c config) issue(userID string, lifetime time.Duration) (string, error) {
	if c.lacksSecret() {
		return "", fmt.Errorf("there is no secret: start the server once, which creates %s, or set auth.secret", c.secretFile())
	}
	secret, err := c.secret()
	if err != nil {
		return "", err
	}
	token, _, err := (&httpapi.Tokens{Secret: secret}).Issue(userID, lifetime)
	return token, err
}

// secretFile returns the secret that a file holds, without the white space around
// it. If there is no such file, it creates one with a random secret, which only
// its owner can read. The file appears as a whole, and is durable on return.
func secretFile(path string) ([]byte, error) {
	secret, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createSecret(path)
	}
	if secret = bytes.TrimSpace(secret); err == nil && len(secret) < httpapi.MinSecret {
		return nil, fmt.Errorf("%s must have at least %d bytes", path, httpapi.MinSecret)
	}
	return secret, err
}

func createSecret(path string) ([]byte, error) {
	secret := rand.Text() + rand.Text()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)) // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(secret + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, err
	}
	return []byte(secret), store.SyncFolder(filepath.Dir(path))
}
