// Package sdk holds the browser SDK and its demo page, embedded so that one binary serves them.
//
// The folder is also the npm package @presence-server/chat; its README describes how to use it. There is no build step:
// the package contains the JavaScript as it is written, and the server minifies it when it is first requested.
package sdk

import (
	"bytes"
	"embed"
	"io/fs"
	"path"
	"sync"

	"github.com/tdewolff/minify/v2"
	"github.com/tdewolff/minify/v2/js"
)

//go:embed *.js *.d.ts package.json README.md LICENSE
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

// Served returns what the server serves under /sdk/, by file name: the files of the npm package, of which the JavaScript
// is minified, so that pages load less than half as much. The first call takes some milliseconds. The result is shared:
// it must not be changed.
func Served() map[string][]byte {
	return served()
}

var served = sync.OnceValue(func() map[string][]byte {
	texts := make(map[string][]byte)
	entries, _ := files.ReadDir(".") // embedded: it can't fail
	for _, e := range entries {
		text, _ := files.ReadFile(e.Name())
		if path.Ext(e.Name()) == ".js" {
			text = minified(text)
		}
		texts[e.Name()] = text
	}
	return texts
})

// minified returns a module that does the same in fewer bytes.
func minified(module []byte) []byte {
	var out bytes.Buffer
	if err := js.Minify(minify.New(), &out, bytes.NewReader(module), nil); err != nil {
		panic(err) // the modules are embedded, and tests minify each of them
	}
	return out.Bytes()
}

// Demo returns the files of the demo pages: index.html with two people, and person.html with one. They request the SDK at
// sdk/ and the API at v1/, relative to where they are mounted.
func Demo() fs.FS {
	page, err := fs.Sub(demo, "demo")
	if err != nil {
		panic(err) // only for a path that is not valid, and this one is constant
	}
	return page
}
