#!/bin/sh
set -e
if [ "$1" = store-server ]; then
	while :; do store-version | nc -l -N 127.0.0.1 "$3"; done
fi
exec "$@"
