"""A client that fetches what strangers ask for, and does not follow them into the network.

It needs requests: the extra "requests" of aconnect-io.  A redirect leads to a name, and that to an
address that is not permitted.
"""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import requests

from aconnect import AddressNotPermitted, Dialer, StaticResolver
from aconnect.clients.blocking.requests import session
from aconnect.policy import allow

SHOP = "shop.example"
TRAP = "http://innocent.example/"

# Where these names lead; mostly a name server knows.
RESOLVER = StaticResolver({SHOP: ["127.0.0.1"], "innocent.example": ["127.0.0.2"]})


class Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", TRAP)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    # The server below is all that is permitted here.  Elsewhere say permit=public_only().
    careful = Dialer(permit=allow("127.0.0.1"), resolver=RESOLVER)
    with HTTPServer(("127.0.0.1", 0), Shop) as server:
        threading.Thread(target=server.handle_request).start()
        with session(dialer=careful) as http:
            try:
                http.get(f"http://{SHOP}:{server.server_port}/", timeout=5)
            except requests.ConnectionError as error:
                cause = error.args[0].reason.__cause__
                assert isinstance(cause, AddressNotPermitted)
                peer = cause.attempts[0].peer
                print(f"refused: {TRAP} leads to {peer}")


if __name__ == "__main__":
    main()
