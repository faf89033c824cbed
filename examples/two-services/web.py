"""The web service: a page around the worker's next word."""

import html
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

# What /version answers.
VERSION = "1.0.0"
WORKER = os.environ.get("WORKER", "http://127.0.0.1:8001")
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>two-services</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.5 system-ui, sans-serif; }}
  main {{ width: min(34rem, 100vw - 3rem); border-top: 4px solid #8a5a2b; padding-top: 1.5rem; }}
  h1 {{ margin: 0; letter-spacing: -0.02em; }}
</style>
<main><h1>{word}</h1><p>The worker chose the word; the one-shot planted it. Reload for the next.</p></main>
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            self.answer(200, "text/html", PAGE.format(word=html.escape(self.next_word())))
        elif self.path == "/version":
            self.answer(200, "text/plain", VERSION + "\n")
        else:
            self.answer(404, "text/plain", "not found\n")

    def next_word(self):
        with urlopen(WORKER + "/word", timeout=5) as response:
            return response.read().decode().strip()

    def answer(self, status, content_type, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type + "; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    print(f"web on http://127.0.0.1:{port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
