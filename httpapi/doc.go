// Package httpapi serves package presence over HTTP: JSON calls for users and
// for the backend, the event stream, the browser SDK, and openapi.yaml, which
// describes all of them.
//
// [New] creates a [Handler] for a [presence.Service]. A Handler is an
// [http.Handler] and can be mounted under any prefix with [http.StripPrefix]:
//
//	api, err := httpapi.New(httpapi.Config{Service: svc, Authenticate: authenticate})
//	…
//	mux.Handle("/presence/", http.StripPrefix("/presence", api))
//
// Config.Authenticate returns the [Credentials] of a request. A program with cookie
// sessions returns the session's user and device; see the example of this
// package, which is a whole program with a page that uses the browser SDK.
//
// If a middleware in front of the Handler wraps the ResponseWriter, its wrapper must
// have a method Unwrap, as [http.ResponseController] requires, or Flush. Otherwise event
// streams can't be opened.
//
// To stop without showing users as offline, call [Handler.Shutdown] with the HTTP
// server, and then close the Service.
//
// A program that has metrics for Prometheus adds those of the Handler to them with
// Config.Registerer. Otherwise [Handler.Metrics] serves them. It asks for no
// credentials, so serve it on a private address only.
//
// A program whose HTTP server serves nothing else can bound its connections with
// [LimitConnections], and respond with [Starting] while the Service is being opened.
//
// Several services that share a log act as one; see Log of [presence.Config]. A client that uses
// several of their Handlers sends back the header Presence-Version of a response, so that
// each reads at least what the client has seen. Without a log the header is ignored.
//
// # How it is built
//
// A call is a function that receives a request and returns the data of the
// response, or an error. One function, respond, writes both as HTTP, and one
// table maps each error code to an HTTP status. Limits on calls (how many IDs,
// how often) are enforced here; limits on stored data are enforced by package
// presence.
package httpapi
