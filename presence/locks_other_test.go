//go:build !unix

package presence

// Elsewhere to close a file takes away no locks.
func alone(string) {}

// There folders have no such permissions.
func unprivileged(string) {}
