"""One TCP connection, line by line.

    talk.py ADDRESS PORT                 sends every line of stdin, prints the answer, "silence" or "closed"
    talk.py --serve ADDRESS PORT NAME    answers every line with NAME and the line
"""

import socket
import socketserver
import sys


class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(f"{NAME}: ".encode() + line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if sys.argv[1] == "--serve":
    NAME = sys.argv[4]
    Server((sys.argv[2], int(sys.argv[3])), Answer).serve_forever()

with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as connection:
    connection.settimeout(1.5)
    pending = b""
    for line in sys.stdin:
        try:
            connection.sendall(line.encode())
            while b"\n" not in pending:
                data = connection.recv(4096)
                if not data:
                    raise ConnectionResetError
                pending += data
            answer, _, pending = pending.partition(b"\n")
            print(answer.decode(), flush=True)
        except TimeoutError:
            print("silence", flush=True)
        except OSError:
            print("closed", flush=True)
