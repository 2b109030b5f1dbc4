//go:build !unix

package presence

// On other systems, closing a file doesn't release locks.
func alone(string) {}

// Other systems have no such permissions for folders.
func unprivileged(string) {}
