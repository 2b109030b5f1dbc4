package testserver

import (
	"os"
	"os/exec"
	"testing"
)

// Require returns the path of a program that a test needs for the reason why.
// Without the program, Missing ends the test.
func Require(t testing.TB, program, why string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, "%s is not installed: %s", program, why)
	}
	return path
}

// Missing skips a test for which something is missing. Where SKIP_NO_TEST is 1,
// as in CI, which installs everything, it fails the test instead.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("SKIP_NO_TEST") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
