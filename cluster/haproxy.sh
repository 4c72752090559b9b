#!/bin/sh
# Starts the HAProxy that Serve wants to start, with three changes to the configuration that Serve has written:
#
# - where nobody can answer, it says so in our envelope with 503 and Retry-After, instead of a bare 500 or, while it
#   does not know the application yet, a 404 that reads as if the query did not exist;
# - a request whose replica died before it answered is sent to another one,
# - except for one that may not be carried out twice: an execute without an Idempotency-Key.
#
# Serve runs this file because RAY_SERVE_HAPROXY_BINARY_PATH names it. Lines that it does not find stay as they are.
set -eu

config=
previous=
for word in "$@"; do
    if [ "$previous" = -f ]; then config=$word; fi
    previous=$word
done

if [ -n "$config" ]; then
    answer=$(dirname "$config")/away.http
    body='{"status":"error","error":{"statusCode":503,"name":"UnexpectedServerError","message":"The service is just starting again; try again shortly.","data":{}}}'
    printf 'HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n%s' \
        "${#body}" "$body" >"$answer"
    sed -e "s|^\( *errorfile 50[234] \).*|\1$answer|" \
        -e 's|^\( *http-request return status \)404 content-type text/plain lf-string "Path .*|\1503 default-errorfiles|' \
        -e 's|^\( *retry-on \)conn-failure$|\1conn-failure empty-response|' \
        -e '/^ *http-reuse always$/a\
    http-request disable-l7-retry if METH_POST !{ req.hdr(idempotency-key) -m found } !{ path_end /cancel }' \
        "$config" >"$config.new"
    mv "$config.new" "$config"
fi

exec "$QUERYFLEET_HAPROXY_PROGRAM" "$@"
