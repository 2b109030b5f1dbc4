#!/usr/bin/env bash
# Creates a database with rows in every table, using a released binary. It is the
# fixture that later releases must open. TestEveryReleasedSchemaOpens checks its
# contents. Usage: make.sh BINARY FILE
set -euo pipefail
binary=$(realpath "$1") file=$(realpath "$2")
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -r "$folder"' EXIT
cd "$folder"
export PRESENCE_LISTEN=127.0.0.1:${PORT:-18099} PRESENCE_AUTH__ADMIN_KEY=a-key-for-the-fixture
export PRESENCE_WEBHOOKS__URLS=http://127.0.0.1:1/ # nothing listens there, so deletions are kept for this feed
export PRESENCE_WEBHOOKS__SECRET="whsec_$(head -c 32 /dev/zero | base64)"
"$binary" 2>log &
server=$!
url=http://$PRESENCE_LISTEN
until curl -sf $url/readyz >/dev/null; do :; done

admin() { curl -sf "$url/v1/admin/$1" -H "Authorization: Bearer $PRESENCE_AUTH__ADMIN_KEY" -d "$2"; echo; }
token() { admin issueToken "{\"userID\":\"$1\"}" | sed 's/.*"token":"\([^"]*\)".*/\1/'; }
follow() { # USER DEVICE PLATFORM: returns once the stream is open
  curl -sfN "$url/v1/events?deviceID=$2&platform=$3" -H "Authorization: Bearer $(token "$1")" >"$2" &
  until grep -qs READY "$2"; do :; done
}

admin importUsers '{"userIDList":["alice","bob","carol","dave","erin","frank","gina"]}'
admin addFriends '{"userID":"alice","friendIDList":["bob","carol"]}'
admin addFriends '{"userID":"dave","friendIDList":["alice"],"mutual":false}'
curl -sf $url/v1/subscribeUserStatus -H "Authorization: Bearer $(token frank)" -d '{"userIDList":["alice","dave"]}'; echo
follow dave phone android
kill $!
follow erin tablet web
admin kick '{"userID":"erin"}'
admin addFriends '{"userID":"frank","friendIDList":["gina"]}'
admin deleteUsers '{"userIDList":["gina"]}' # only the hash of this user remains
follow alice laptop web
follow alice pocket ios
admin setUserStatus '{"userID":"alice","customStatus":"In a call","expiresIn":31536000}'
admin setUserStatus '{"userID":"bob","customStatus":"Línea 1\nzwei 🙂"}'
# Since schema 4. What it adds changes no status that earlier fixtures have.
admin setUserStatus '{"userID":"bob","customStatus":"On the phone","source":"call","priority":-10,"expiresIn":31536000}'
curl -sf $url/v1/setVisibility -H "Authorization: Bearer $(token erin)" -d '{"invisible":true}'; echo
until curl -sf "$url/v1/admin/getUserStatus" -H "Authorization: Bearer $PRESENCE_AUTH__ADMIN_KEY" \
  -d '{"userIDList":["dave"]}' | grep '"statusType":2'; do sleep 1; done
kill $server
wait $server
cp presence.db "$file"
