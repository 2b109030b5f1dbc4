//go:build !unix

package httpapi

func descriptors() int { return 0 }
