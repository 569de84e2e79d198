"""A TCP proxy between a node and its database that can swallow what is sent, or cut every connection."""

import contextlib
import select
import socket
import threading


class TcpProxy:
    """Listens on ``port`` and passes on to a port of this machine, from ``with`` on."""

    def __init__(self, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._swallow, self._stop = threading.Event(), threading.Event()
        self._pairs, self._lock = [], threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def swallow(self):
        """From now on nothing that anybody sends arrives, and nobody is told."""
        self._swallow.set()

    def pass_on(self):
        """Connections from now on work again; those of before are cut, as they would be one day."""
        self._swallow.clear()
        self.cut()

    def cut(self):
        """End every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while not self._stop.is_set():
            if not select.select([self._listener], [], [], 0.2)[0]:
                continue
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._pairs.append((near, far))
            threading.Thread(target=self._serve, args=(near, far), daemon=True).start()

    def _serve(self, near, far):
        with near, far, contextlib.suppress(OSError, ValueError):
            while not self._stop.is_set():
                for end in select.select([near, far], [], [], 0.2)[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if not self._swallow.is_set():
                        (far if end is near else near).sendall(data)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self.cut()
        self._thread.join(10)
        self._listener.close()
