# An inference service as SageMaker calls one, on port 8080, and an echo of datagrams on 9000. Connections stay open.
import http.server, socketserver, threading


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(self.request[0], self.client_address)


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if not self.close_connection:
            # For clients of HTTP/1.0, such as ab, which want to be told.
            self.send_header("Connection", "keep-alive")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(b"inside\n")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])).upper())

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_port = True
    request_queue_size = 128


echo = socketserver.UDPServer(("", 9000), Echo)
threading.Thread(target=echo.serve_forever, daemon=True).start()
Server(("", 8080), Model).serve_forever()
