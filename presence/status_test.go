package presence

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// In these tables the current time is 100, and larger numbers are later.
const testNow micros = 100

var (
	webConnected  = device{platform: Web, run: 1, stream: 1}
	webInGrace    = device{platform: Web, graceUntil: 101}
	webGone       = device{platform: Web, graceUntil: 100}
	iosConnected  = device{platform: IOS, run: 1, stream: 1}
	iosInGrace    = device{platform: IOS, graceUntil: 101, retainUntil: 200}
	iosRetained   = device{platform: IOS, graceUntil: 100, retainUntil: 101}
	iosGone       = device{platform: IOS, graceUntil: 90, retainUntil: 100}
	iosUnretained = device{platform: IOS, graceUntil: 100, retainUntil: 90}
	webRetained   = device{platform: Web, graceUntil: 90, retainUntil: 200} // which means nothing
)

func TestStatusTypeFollowsFromDevicesAndTime(t *testing.T) {
	tests := []struct {
		name    string
		devices []device
		want    StatusType
	}{
		{"no device", nil, Unlogined},
		{"web connected", []device{webConnected}, Online},
		{"web in grace", []device{webInGrace}, Online},
		{"web at the end of its grace", []device{webGone}, Unlogined},
		{"web is never retained", []device{webRetained}, Unlogined},
		{"native connected", []device{iosConnected}, Online},
		{"native in grace", []device{iosInGrace}, Online},
		{"native at the end of its grace", []device{iosRetained}, Offline},
		{"native at the end of its retention", []device{iosGone}, Unlogined},
		{"retention shorter than the grace", []device{iosUnretained}, Unlogined},
		{"one connected among others", []device{iosRetained, webGone, webConnected, iosGone}, Online},
		{"one in grace among others", []device{iosRetained, webInGrace, iosGone}, Online},
		{"one retained among gone ones", []device{webGone, iosRetained, iosGone}, Offline},
	}
	for _, test := range tests {
		if got := statusTypeAt(test.devices, testNow); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestSettleAppliesWhatIsDue(t *testing.T) {
	const ttl = 50
	tests := []struct {
		name    string
		account account
		want    account
	}{
		{"nothing is due",
			accountOf(Online, []device{webConnected}, &said{expiresAt: 101}),
			accountOf(Online, []device{webConnected}, &said{expiresAt: 101})},
		{"the expiry",
			accountOf(Online, []device{webConnected}, &said{expiresAt: 100}),
			accountOf(Online, []device{webConnected}, nil)},
		{"the grace of a native device",
			accountOf(Online, []device{iosRetained}, &said{}),
			accountOf(Offline, []device{iosRetained}, &said{})},
		{"the grace of a web device, late",
			accountOf(Online, []device{{platform: Web, graceUntil: 80}}, &said{}),
			accountOf(Unlogined, nil, &said{clearAt: 80 + ttl})},
		{"the retention, so late that the TTL is over too",
			accountOf(Offline, []device{{platform: IOS, graceUntil: 10, retainUntil: 20}}, &said{}),
			accountOf(Unlogined, nil, nil)},
		{"a logout",
			accountOf(Online, nil, &said{}),
			accountOf(Unlogined, nil, &said{clearAt: 100 + ttl})},
		{"the TTL",
			accountOf(Unlogined, nil, &said{clearAt: 100}),
			accountOf(Unlogined, nil, nil)},
		{"the TTL of a status with an expiry of its own",
			accountOf(Unlogined, nil, &said{expiresAt: 300, clearAt: 100}),
			accountOf(Unlogined, nil, &said{expiresAt: 300})},
		{"coming back before the TTL",
			accountOf(Unlogined, []device{webConnected}, &said{clearAt: 100}),
			accountOf(Online, []device{webConnected}, &said{})},
	}
	for _, test := range tests {
		for _, again := range []string{"", ", twice"} {
			test.account.settle(new(test.account), testNow, ttl)
			if !sameAccount(test.account, test.want) {
				t.Errorf("%s%s: got %+v, want %+v", test.name, again, test.account, test.want)
			}
		}
	}
}

// accountOf returns an account in which both views are equal. with has the expiry of its
// own entry, whose text is "x"; nil means that there is no entry.
func accountOf(statusType StatusType, devices []device, with *said) account {
	a := account{devices: devices, own: view{statusType: statusType}, public: view{statusType: statusType}}
	if with != nil {
		a.said = newSaid([]entry{{Text: "x", ExpiresAt: with.expiresAt}}, with.clearAt)
	}
	return a
}

func sameAccount(a, b account) bool {
	return a.looksLike(&a.own, &b, &b.own) && a.looksLike(&a.public, &b, &b.public) &&
		a.said.orNothing().clearAt == b.said.orNothing().clearAt && slices.Equal(a.devices, b.devices)
}

func TestDueAtIsTheEarliestDeadline(t *testing.T) {
	tests := []struct {
		name    string
		account account
		want    micros
	}{
		{"nothing", account{devices: []device{webConnected}}, 0},
		{"grace before retention", account{devices: []device{iosInGrace}}, 101},
		{"retention after the grace", account{devices: []device{iosRetained}}, 101},
		{"expiry first", accountOf(Offline, []device{{platform: IOS, retainUntil: 170}}, &said{expiresAt: 150, clearAt: 160}), 150},
		{"TTL first", accountOf(Unlogined, nil, &said{expiresAt: 170, clearAt: 150}), 150},
		{"device first", accountOf(Online, []device{webConnected, {graceUntil: 150}}, &said{expiresAt: 170, clearAt: 160}), 150},
	}
	for _, test := range tests {
		if got := test.account.dueAt(testNow); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestCheckID(t *testing.T) {
	good := []string{"a", "Alice Smith", "日本", "a\u00a0b", "🙂", strings.Repeat("x", 128)}
	bad := []string{"", " a", "a ", "\u3000a", "a\u2028", "a\nb", "a\x00", "\x7f", "a\u0085b", "\xff", strings.Repeat("x", 129)}
	for _, id := range good {
		if err := CheckID(id); err != nil {
			t.Errorf("%q: %v, want it allowed", id, err)
		}
	}
	for _, id := range bad {
		wantCode(t, CheckID(id), CodeMalformed, "the ID "+id)
	}
}

func TestStatusJSON(t *testing.T) {
	expiry := time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)
	tests := []struct {
		status Status
		want   string
	}{
		{Status{UserID: "alice", StatusType: Online, CustomStatus: "In a call", Version: 42, ExpiresAt: expiry},
			`{"userID":"alice","statusType":1,"customStatus":"In a call","version":42,"expiresAt":"2026-11-23T15:00:00Z"}`},
		{Status{UserID: "bob", StatusType: Unlogined, Version: 1<<53 - 1},
			`{"userID":"bob","statusType":3,"customStatus":"","version":9007199254740991}`},
		{Status{UserID: "carol", ExpiresAt: expiry.Add(120 * time.Millisecond).In(time.FixedZone("", 3600))},
			`{"userID":"carol","statusType":0,"customStatus":"","version":0,"expiresAt":"2026-11-23T15:00:00.12Z"}`},
		{Status{UserID: `"\`, CustomStatus: "a\n\r\t\x00\u007f<é🙂"},
			`{"userID":"\"\\","statusType":0,"customStatus":"a\n\r\t\u0000` + "\u007f<é🙂" + `","version":0}`},
	}
	for _, test := range tests {
		if got := string(test.status.AppendJSON(nil)); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		if got, err := json.Marshal(test.status); err != nil || !json.Valid(got) {
			t.Errorf("json.Marshal: %s, %v", got, err)
		}
	}
}

func TestAppendListIsNeverNull(t *testing.T) {
	if got := string(AppendList(nil, nil)); got != "[]" {
		t.Errorf("got %s, want []", got)
	}
	two := []Status{{UserID: "a"}, {UserID: "b"}}
	want := `[{"userID":"a","statusType":0,"customStatus":"","version":0},{"userID":"b","statusType":0,"customStatus":"","version":0}]`
	if got := string(AppendList(nil, two)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSettingsErrorsAreReportedTogether(t *testing.T) {
	if err := DefaultSettings().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	s := DefaultSettings()
	s.Friends, s.CustomStatusBytes, s.Keepalive = -1, 65537, 0
	err := s.Validate()
	for _, key := range []string{"Friends = -1", "CustomStatusBytes = 65537", `Keepalive = "0s"`} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("the errors are %v, want %s among them", err, key)
		}
	}
}
