"""The worker: answers one word of the database per request, and its health."""

import itertools
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def load_words():
    connection = sqlite3.connect("file:data/words.sqlite?mode=ro", uri=True)
    words = [row[0] for row in connection.execute("SELECT word FROM words ORDER BY word")]
    connection.close()
    return words


WORDS = itertools.cycle(load_words())


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, "ok\n")
        elif self.path == "/word":
            self.answer(200, next(WORDS) + "\n")
        else:
            self.answer(404, "not found\n")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        if self.path != "/healthz":
            super().log_request(code, size)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8001"))
    print(f"worker on http://127.0.0.1:{port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
