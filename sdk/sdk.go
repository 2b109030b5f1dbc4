// Package sdk holds the browser SDK and its demo page, embedded so that one binary serves them.
//
// The folder is also the npm package @presence-server/chat; its README says how to use it. The JavaScript is served as
// it is written: there is no build step.
package sdk

import (
	"embed"
	"io/fs"
)

//go:embed presence.js session.js stream.js index.d.ts package.json README.md LICENSE
var files embed.FS

//go:embed demo/index.html demo/demo.css demo/demo.js demo/icon.svg
var demo embed.FS

// Files returns the files of the npm package, to be served under /sdk/: presence.js is the module to import.
func Files() fs.FS { return files }

// Demo returns the files of the demo page, index.html at the top. The page asks for the SDK at sdk/ and for the API at
// v1/, relative to where it is mounted.
func Demo() fs.FS {
	page, err := fs.Sub(demo, "demo")
	if err != nil {
		panic(err) // only for a path that is not valid, and this one is constant
	}
	return page
}
