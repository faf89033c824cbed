import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from itsdangerous import Signer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = Signer("key").sign(self.path.encode())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
