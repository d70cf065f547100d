"""certificates - authorities, certificates and gateways that show them, made with the openssl command.

    with Papers() as papers:
        authority = papers.authority("clients")
        with SecureGateway([echo()], papers, client_ca=authority) as gateway:
            gateway.secure(authority.issue("worker", names="URI:spiffe://test/worker")) ...
"""

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from gateway import Gateway, Reply
from support import equal, patient

DAY_S = 86400


def openssl(*arguments, within=30):
    run = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=within, check=False)
    equal(run.returncode, 0, f"exit code of openssl {arguments[0]} ({run.stderr.strip()[-500:]})")
    return run.stdout


class Certificate:
    """A PEM file and its key's; serial as the log and Python write it."""

    def __init__(self, cert, key):
        self.cert, self.key = cert, key
        self.serial = openssl("x509", "-in", cert, "-noout", "-serial").strip().split("=")[1]


class Authority(Certificate):
    def __init__(self, papers, name):
        self.papers, self.name, self.issued = papers, name, 0
        self.folder = papers.folder / f"{name}-{len(os.listdir(papers.folder))}"
        self.folder.mkdir()
        (self.folder / "index").write_text("")
        (self.folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=here\n[here]\ndatabase={self.folder}/index\ndefault_md=sha256\n"
            f"default_crl_days=1\npolicy=any\nrand_serial=yes\nnew_certs_dir={self.folder}\n"
            f"unique_subject=no\ncopy_extensions=copy\n[any]\ncommonName=supplied\n")
        cert, key = self.folder / "ca.pem", self.folder / "ca-key.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                "-out", cert, "-subj", f"/CN={name}", "-days", 2)
        super().__init__(cert, key)

    def issue(self, name, names=None, starts=-1, ends=1):
        """A certificate that is valid from `starts` to `ends`, in days from now."""
        self.issued += 1
        stem = self.folder / f"{name}-{self.issued}"
        cert, key, wish = (stem.with_name(stem.name + suffix) for suffix in (".pem", "-key.pem", ".csr"))
        extensions = ("-addext", f"subjectAltName={names}") if names else ()
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                "-out", wish, "-subj", f"/CN={name}", *extensions)
        moment = lambda days: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * DAY_S))
        openssl("ca", "-config", self.folder / "ca.cnf", "-batch", "-notext", "-keyfile", self.key, "-cert", self.cert,
                "-in", wish, "-out", cert, "-startdate", moment(starts), "-enddate", moment(ends))
        return Certificate(cert, key)

    def revocations(self, *revoked):
        """The list as a PEM text."""
        for certificate in revoked:
            openssl("ca", "-config", self.folder / "ca.cnf", "-keyfile", self.key, "-cert", self.cert,
                    "-revoke", certificate.cert)
        return openssl("ca", "-config", self.folder / "ca.cnf", "-keyfile", self.key, "-cert", self.cert, "-gencrl")


class Papers:
    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="poolgate-papers-"))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def authority(self, name):
        return Authority(self, name)


class SecureGateway(Gateway):
    """A gateway with TLS on both ports; what Gateway itself asks of it goes over TLS as well. `me` is the
    certificate with which it asks."""

    def __init__(self, pools, papers, client_ca=None, client_names=None, me=None, **sections):
        self.authority = papers.authority("servers")
        self.me = me
        self.shown = papers.folder / "shown"
        self.shown.mkdir()
        self.cert, self.key_file = self.shown / "cert.pem", self.shown / "key.pem"
        self.show(self.authority.issue("localhost", names="DNS:localhost,IP:127.0.0.1"))
        tls = {"cert": str(self.cert), "key": str(self.key_file)}
        if client_ca:
            tls["client_ca"] = str(client_ca)
        if client_names:
            tls["client_names"] = client_names
        sections["http"] = {**sections.get("http", {}), "tls": tls}
        super().__init__(pools, **sections)
        self._with_grpc(tls)

    def _with_grpc(self, tls):
        import json

        config = json.loads(self.config_file.read_text())
        config["grpc"]["tls"] = tls
        self.config_file.write_text(json.dumps(config, indent=2) + "\n")

    def show(self, certificate):
        """Puts a certificate where the gateway reads it, as an operator should: by renaming."""
        self.put(certificate.cert.read_bytes(), certificate.key.read_bytes())

    def put(self, cert, key):
        for path, data in ((self.cert, cert), (self.key_file, key)):
            new = path.with_suffix(".new")
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
            new.rename(path)

    # --- clients ------------------------------------------------------------------------------

    def context(self, me=None, protocols=("http/1.1",), version=None):
        context = ssl.create_default_context(cafile=self.authority.cert)
        context.set_alpn_protocols(list(protocols))
        if version:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
        if me:
            context.load_cert_chain(me.cert, me.key)
        return context

    @property
    def grpc_port(self):
        return int(self.events("listening")[0]["grpc"].rsplit(":", 1)[1])

    def plain(self, port=None, timeout=60.0):
        return socket.create_connection((self.host, port or self.port), timeout=patient(timeout))

    def secure(self, me=None, port=None, timeout=60.0, **more):
        """A connection that has shaken hands, or the error that came instead."""
        return self.context(me, **more).wrap_socket(self.plain(port, timeout), server_hostname="localhost")

    def connect(self, timeout=60.0):
        return self.secure(self.me, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, timeout=60.0):
        began, headers = time.monotonic(), dict(headers or {})
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        client = http.client.HTTPSConnection(self.host, self.port, timeout=patient(timeout),
                                             context=self.context(self.me))
        try:
            client.request(method, path, body=body, headers=headers)
            response = client.getresponse()
            return Reply(response.status, response.headers, response.read(), time.monotonic() - began)
        finally:
            client.close()
