"""keyed - a gateway with a key file, and who comes with which key."""

import http.client
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from gateway import Gateway, Reply, echo
from support import build, equal, eventually, patient

SEEN_WITHIN = 2.0


class Keys:
    """A key file, and the command that changes it."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="poolgate-keys-"))
        self.file, self.tokens = self.folder / "keys.json", []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *words, file=True):
        command = [str(build.program), "key", *words] + (["--file", str(self.file)] if file else [])
        return subprocess.run(command, capture_output=True, text=True, env={}, check=False)

    def add(self, name="ci", tenant="accounting", scope="invoke", **limits):
        words = [part for key, value in limits.items() for part in (f"--{key.replace('_', '-')}", str(value))]
        run = self.run("add", name, "--tenant", tenant, "--scope", scope, *words)
        equal(run.returncode, 0, f"exit code of key add ({run.stderr})")
        self.tokens.append(run.stdout.strip())
        return self.tokens[-1]

    def list(self):
        return json.loads(self.run("list", "--json").stdout)["keys"]


class Keyed(Gateway):
    """A gateway with a key file; what the test itself asks it asks with a key of its own."""

    def __init__(self, keys, pools=None, auth=None, **more):
        own = keys.add("test-itself", tenant="test", scope="invoke,read,admin")
        super().__init__(pools or [echo(slots=2)], conserve=False, auth={"keys_file": str(keys.file), **(auth or {})},
                         key=own, **more)

    def ask(self, method, path, body=None, headers=None, key="", address=None, **more):
        """key: "" is the test's own, None is none. address: of this machine, where the client comes from."""
        headers = dict(headers or {})
        if key:
            headers["Authorization"] = f"Bearer {key}"
        own, self.key = self.key, self.key if key == "" else None
        try:
            return self.ask_from(address, method, path, body, headers) if address else \
                super().ask(method, path, body, headers, **more)
        finally:
            self.key = own

    def ask_from(self, address, method, path, body, headers):
        client = http.client.HTTPConnection(self.host, self.port, timeout=patient(20), source_address=(address, 0))
        try:
            client.request(method, path, body=body, headers=headers)
            response = client.getresponse()
            return Reply(response.status, response.headers, response.read(), 0)
        finally:
            client.close()


    def until_seen(self, count):
        """Waits until the file with so many keys counts; asking with a key that does not would be guessing."""
        eventually(lambda: [line["count"] for line in self.events("keys")][-1:] == [str(count)], within=SEEN_WITHIN,
                   about=f"the file with {count} keys counts")


def call(client, path, message, key):
    extra = () if key is None else (("authorization", f"Bearer {key}"),)
    return client.finish(client.begin(path, message, extra=extra))


def refused(reply, status, code):
    equal((reply.status, reply.code), (status, code), f"status and code of {reply!r}")
