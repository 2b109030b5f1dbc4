module github.com/presence-server/presence/deploy/calendar

go 1.26.0

require (
	github.com/arran4/golang-ical v0.3.4
	github.com/pelletier/go-toml/v2 v2.4.3
	github.com/presence-server/presence v0.0.0
	github.com/teambition/rrule-go v1.8.2
)

replace github.com/presence-server/presence => ../..
