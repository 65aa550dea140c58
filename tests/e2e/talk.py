"""A server over TCP that answers every line with its name and the line: talk.py ADDRESS PORT NAME."""

import socketserver
import sys


class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(f"{sys.argv[3]}: ".encode() + line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server((sys.argv[1], int(sys.argv[2])), Answer).serve_forever()
