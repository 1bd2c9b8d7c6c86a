"""A server on this machine that speaks S3, and what programs need to know to find it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_numbers = itertools.count()


@contextmanager
def object_store(setenv: Callable[[str, str], None]) -> Iterator[Callable[[], str]]:
    """Gives a function that makes a bucket and gives its URL; settings go where `setenv` puts them.

    They are variables of the environment, so that processes that are started find the server too.
    """
    import s3fs
    from moto.server import ThreadedMotoServer

    s3fs.S3FileSystem.clear_instance_cache()  # those of another server
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            setenv(name, "testing")
        setenv("AWS_DEFAULT_REGION", "us-east-1")
        setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield _make_bucket
    finally:
        server.stop()


def _make_bucket() -> str:
    import fsspec

    url = f"s3://bucket-{next(_numbers)}"
    fsspec.filesystem("s3").mkdir(url)
    return url


def upload(folder: Path, url: str) -> str:
    """All files of a folder."""
    import fsspec

    fs = fsspec.filesystem(url.partition("://")[0])
    for path in folder.rglob("*"):
        if path.is_file():
            fs.put_file(str(path), f"{url}/{path.relative_to(folder).as_posix()}")
    return url


def objects(url: str) -> dict[str, bytes]:
    """All that is below a URL."""
    import fsspec

    fs, root = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return {path.removeprefix(f"{root}/"): fs.cat_file(path) for path in fs.find(root)}
