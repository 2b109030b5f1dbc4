"""A client with nothing but Python's standard library: lines.py URL TOKEN prints what it receives, as lines of JSON.

It decodes and splits the stream as requests' iter_lines does: without a charset in Content-Type, text is ISO-8859-1, and
str.splitlines also ends lines at U+0085, U+2028 and U+2029.
"""

import codecs
import http.client
import json
import sys
import time
import urllib.error
import urllib.request


def report(**received):
    print(json.dumps(received), flush=True)


def lines(response):
    charset = response.headers.get_content_charset() or "ISO-8859-1"
    decoder, pending = codecs.getincrementaldecoder(charset)(), ""
    while chunk := response.read1(65536):
        found = (pending + decoder.decode(chunk)).splitlines(keepends=True)
        pending = "" if found[-1].endswith("\n") else found.pop()
        yield from (line.splitlines()[0] for line in found)


def follow(url, token, cursor):
    """Reports the events of one connection, and returns the cursor that the next one starts from."""
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token})
    if cursor:
        request.add_header("Last-Event-ID", cursor)
    fields = {}
    try:
        with urllib.request.urlopen(request) as response:
            if response.status == 204:
                return None
            for line in lines(response):
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                cursor = fields["id"]
                report(**fields)
                fields = {}
        report(failed="end of the stream")
    except urllib.error.HTTPError as answer:
        report(ended=str(answer))
        return None
    except (http.client.HTTPException, OSError) as error:
        report(failed=repr(error))
    return cursor


def main(url, token):
    cursor = ""
    while cursor is not None:
        cursor = follow(url, token, cursor)
        time.sleep(0.5)
    report(ended="204")


main(*sys.argv[1:])
