"""A server on loopback that speaks S3, for the length of a `with`."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest


@contextmanager
def buckets(*names: str) -> Iterator[list[str]]:
    """Make empty buckets at a server of their own; yield their URLs, which chimed and boto3 reach meanwhile."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    keys = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
            for name, value in keys.items():
                patch.setenv(f"AWS_{name}", value)
            fsspec.get_filesystem_class("s3").clear_instance_cache()  # of another server, at another address
            for name in names:
                boto3.client("s3").create_bucket(Bucket=name)
            yield [f"s3://{name}" for name in names]
    finally:
        server.stop()
