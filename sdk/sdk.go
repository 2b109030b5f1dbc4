// Package sdk holds the browser SDK and its demo page, embedded so that one binary serves them.
//
// The folder is also the npm package @presence-server/chat; its README describes how to use it. There is no build step:
// the package contains the JavaScript as it is written, and the server serves it without its comments.
package sdk

import (
	"embed"
	"io/fs"
	"regexp"
)

//go:embed *.js index.d.ts package.json README.md LICENSE
var files embed.FS

//go:embed admin
var admin embed.FS

//go:embed demo
var demo embed.FS

// Admin returns the files of the admin page, by file name; index.html is the page. It requests the modules of the SDK at
// ../sdk/ and the API at ../v1/.
func Admin() map[string][]byte {
	page := make(map[string][]byte)
	entries, _ := admin.ReadDir("admin") // embedded: it can't fail
	for _, e := range entries {
		page[e.Name()], _ = admin.ReadFile("admin/" + e.Name())
	}
	return page
}

// Served returns what the server serves under /sdk/, by file name: the files of the npm package, of which the
// JavaScript has neither comments nor indentation, so that pages load half as much.
func Served() map[string][]byte {
	served := make(map[string][]byte)
	entries, _ := files.ReadDir(".") // embedded: it can't fail
	for _, e := range entries {
		text, _ := files.ReadFile(e.Name())
		if javascript.MatchString(e.Name()) {
			text = comments.ReplaceAll(text, nil)
		}
		served[e.Name()] = text
	}
	return served
}

var (
	javascript = regexp.MustCompile(`\.js$`)

	// comments matches comments and the white space around them. It relies on how the SDK is written: a comment begins
	// its line, or follows a space, and no string contains one.
	comments = regexp.MustCompile(`(?m)^[ \t]*/\*\*(?s:.*?)\*/\n|^[ \t]*//( .*)?\n|[ \t]+// .*$|^[ \t]+|^\n`)
)

// Demo returns the files of the demo pages: index.html with two people, and person.html with one. They request the SDK at sdk/ and the API at
// v1/, relative to where it is mounted.
func Demo() fs.FS {
	page, err := fs.Sub(demo, "demo")
	if err != nil {
		panic(err) // only for a path that is not valid, and this one is constant
	}
	return page
}
