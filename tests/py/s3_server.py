"""A local S3 server (moto) for the drills of backups. Prints its port; ends with its standard input.

PUT /-/refuse?after=N   from the N+1st further PUT of an object or part on, PUTs are refused with 403 by an answer that
                        quotes the request's headers as some servers do; without N no more
PUT /-/age?hours=N      everything that lies there is so much older
"""

import sys
import threading
from datetime import timedelta
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

moto = DomainDispatcherApplication(create_backend_app)
allowed = None  # PUTs that still pass; None = all


def switch(environ):
    global allowed
    values = parse_qs(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/-/refuse":
        allowed = int(values["after"][0]) if "after" in values else None
        return
    older = timedelta(hours=int(values["hours"][0]))
    for account in s3_backends.values():
        for backend in account.values():
            for bucket in backend.buckets.values():
                for key in bucket.keys.values():
                    key.last_modified -= older


def serve(environ, start_response):
    global allowed
    if environ["PATH_INFO"].startswith("/-/"):
        switch(environ)
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]
    if environ["REQUEST_METHOD"] == "PUT" and allowed is not None:
        if allowed == 0:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            quoted = "".join(f"{name}:{value}\n" for name, value in environ.items() if name.startswith("HTTP_"))
            body = (
                "<?xml version='1.0'?><Error><Code>AccessDenied</Code>"
                f"<Message>{quoted}</Message><CanonicalRequest>{quoted}</CanonicalRequest></Error>"
            ).encode()
            start_response("403 Forbidden", [("Content-Length", str(len(body))), ("x-quoted", str(len(quoted)))])
            return [body]
        allowed -= 1
    return moto(environ, start_response)


server = make_server("127.0.0.1", 0, serve, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
