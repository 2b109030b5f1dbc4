package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/presence-server/presence/httpapi"
)

func TestSecretFileIsCreatedOnce(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "presence.db.secret")
	created, err := secretFile(path)
	if err != nil || len(created) < httpapi.MinSecret {
		t.Fatalf("the first start creates a secret: %d bytes, %v", len(created), err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("only its owner can read the secret, but its mode is %v", info.Mode())
	}
	if files, _ := os.ReadDir(folder); len(files) != 1 {
		t.Errorf("the folder has the files %v, want only the secret", files)
	}
	if again, err := secretFile(path); err != nil || !bytes.Equal(again, created) {
		t.Errorf("a restart keeps the secret: %v", err)
	}
	os.WriteFile(path, []byte("short"), 0o600)
	if _, err := secretFile(path); err == nil {
		t.Error("a secret that can be guessed must stop the start")
	}
}
