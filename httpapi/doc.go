// Package httpapi serves package presence over HTTP: JSON calls for users and
// for the server side, the event stream, the browser SDK, and openapi.yaml,
// which describes it all.
//
// [New] makes one [http.Handler] of a [presence.Service]. It can be mounted
// under any prefix with [http.StripPrefix]:
//
//	api, err := httpapi.New(httpapi.Config{Service: svc, Authenticate: whoIsIt})
//	…
//	mux.Handle("/presence/", http.StripPrefix("/presence", api))
//
// What is put in front of it must let [http.ResponseController] through to the
// server's own writer, with an Unwrap method, or each stream ends at once. To
// stop, without anybody looking offline meanwhile: drain the service, shut the
// server down, wait with [Handler.Wait], close the service.
//
// [Handler.Metrics] is for Prometheus, and [Ops] adds the profiles: both are for
// a private address.
//
// # How it is built
//
// A call is a function from a request to an answer or an error. One place,
// respond, turns either into HTTP; one table gives each code its HTTP status.
// The limits that hold for calls (how many IDs, how often) live here; those
// that hold for what is stored live in package presence.
package httpapi
