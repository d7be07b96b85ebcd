"""Objects in an S3 bucket, or in anything that speaks S3 and honours conditional PUT.

Credentials, region and endpoint come from the environment as for every AWS tool (AWS_ACCESS_KEY_ID, AWS_PROFILE,
AWS_ENDPOINT_URL, ...). Messages are our own words with the server's error code: what the server or the client library
says could repeat a credential.
"""

from __future__ import annotations

import http.client
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from clsearch.errors import UsageError
from clsearch.results.objects import Paths, StoreError

Fault = Literal["again", "exists", "absent", "no bucket", "refused", "no credentials", "malformed", "other"]
T = TypeVar("T")

_WRITER = "clsearch-writer"
_AGAIN_CODES = {
    "ConditionalRequestConflict",  # two conditional writes at once; S3 asks to repeat
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "XAmzContentSHA256Mismatch",
}
# One PUT carries the condition for the whole object up to this size; beyond it S3 wants a multipart upload.
_LARGEST_PUT = 5 * 2**30


class S3Objects:
    """A prefix of a bucket. Dropped connections and throttling are retried for `patience` seconds, then reported."""

    def __init__(self, uri: str, patience: float = 60.0) -> None:
        parts = urlsplit(uri)
        if "@" in parts.netloc:
            raise UsageError(
                "storage: an S3 URI carries no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                "(or AWS_PROFILE) and write s3://bucket/prefix"
            )
        if not parts.netloc or parts.query or parts.fragment:
            raise UsageError("storage: an S3 URI has the form s3://bucket/prefix, without query or fragment")
        self.bucket = parts.netloc
        self.prefix = parts.path.strip("/")
        self.uri = f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")
        self.patience = patience

    @cached_property
    def _fs(self) -> Any:
        try:
            import s3fs
        except ImportError as error:
            raise UsageError(f"storage: {self.uri} needs the package s3fs: pip install 'clsearch[s3]'") from error

        system = s3fs.S3FileSystem(
            skip_instance_cache=True,  # an instance keeps the credentials of its first use
            use_listings_cache=False,
            config_kwargs={
                "retries": {"total_max_attempts": 1},
                "max_pool_connections": 32,
                "connect_timeout": 5,
                "read_timeout": 60,
            },
        )
        system.retries = 1  # repeating is done in one place, `_call`
        return system

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def put(self, path: str, data: bytes) -> bool:
        if len(data) >= _LARGEST_PUT:
            raise StoreError(f"store {self.uri}: {path} has {len(data)} bytes; an object must be smaller than 5 GiB")
        # One PUT whatever the size: s3fs would cut an object of 100 MB or more into parts and put the condition on
        # the last request only, which not every server looks at.
        # The writer's mark tells, when a repeated PUT finds the object there, whether it is our own first one, whose
        # answer was lost. Comparing bytes could not: another writer may have written the same.
        mark = uuid.uuid4().hex

        def create() -> Any:
            return self._fs.call_s3(
                "put_object",
                Bucket=self.bucket,
                Key=self._key(path),
                Body=data,
                IfNoneMatch="*",
                Metadata={_WRITER: mark},
            )

        try:
            self._call(path, create)
        except FileExistsError:
            head = self._call(path, lambda: self._head(path))
            found = {name.lower(): value for name, value in head.get("Metadata", {}).items()}
            if _WRITER in found:
                return bool(found[_WRITER] == mark)
            # A server that keeps no metadata: the bytes are the best that is left to go by.
            return self.get(path) == data
        return True

    def _head(self, path: str) -> Any:
        return self._fs.call_s3("head_object", Bucket=self.bucket, Key=self._key(path))

    def get(self, path: str) -> bytes:
        where = f"{self.bucket}/{self._key(path)}"
        # max_concurrency=1: one GET, where s3fs would ask for the size first.
        return bytes(self._call(path, lambda: self._fs.cat_file(where, max_concurrency=1)))

    def exists(self, path: str) -> bool:
        try:
            self._call(path, lambda: self._head(path))
        except FileNotFoundError:
            return False
        return True

    def list(self, prefix: str) -> Paths:
        return sorted(key for key in self._keys(prefix) if not key.endswith("/"))

    def top(self) -> Paths:
        return sorted(self._keys("", Delimiter="/"))

    def _keys(self, prefix: str, **options: str) -> Iterator[str]:
        """The listing's keys and, with a delimiter, its folders, below the store's prefix."""
        lead = len(self.prefix) + 1 if self.prefix else 0
        while True:
            page = self._call(prefix, partial(self._page, prefix, **options))
            yield from (item["Key"][lead:] for item in page.get("Contents", ()))
            yield from (item["Prefix"][lead:] for item in page.get("CommonPrefixes", ()))
            if not page.get("IsTruncated"):
                return
            options = {**options, "ContinuationToken": page["NextContinuationToken"]}

    def _page(self, prefix: str, **more: Any) -> Any:
        return self._fs.call_s3("list_objects_v2", Bucket=self.bucket, Prefix=self._key(prefix), **more)

    def delete(self, path: str) -> None:
        self._call(path, lambda: self._fs.call_s3("delete_object", Bucket=self.bucket, Key=self._key(path)))

    def check_readable(self) -> None:
        # A short wait: someone sits before the screen, and a wrong endpoint is likelier than a restarting server.
        self._call("", lambda: self._page("", MaxKeys=1), patience=min(self.patience, 4.0))

    def _call(self, path: str, function: Callable[[], T], patience: float | None = None) -> T:
        """`function()`, repeated while the fault is one that passes; raises what `Objects` promises."""
        end = time.monotonic() + (self.patience if patience is None else patience)
        pause = 0.1
        while True:
            try:
                return function()
            except _client_errors() as error:
                fault, code = _classify(error)
                if fault == "exists":
                    raise FileExistsError(f"{self.uri}/{path}") from None
                if fault == "absent":
                    raise FileNotFoundError(f"{self.uri}/{path}") from None
                if fault == "other":
                    raise StoreError(f"store {self.uri}: {path or 'listing'} failed with {code}") from None
                if fault != "again" or time.monotonic() + pause > end:
                    raise StoreError(self._sentence(fault, code)) from None
            time.sleep(pause * random.uniform(0.5, 1.0))  # apart from the others that were turned away with us
            pause = min(2 * pause, 5.0)

    def _sentence(self, fault: Fault, code: str) -> str:
        if fault == "no bucket":
            return f"store {self.uri}: there is no bucket '{self.bucket}' at {_endpoint()}; create it, or mend the name"
        if fault == "malformed":
            return f"store {self.uri}: the bucket's name or AWS_ENDPOINT_URL is malformed ({code})"
        if fault == "no credentials":
            keys = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            return f"store {self.uri}: no AWS credentials found; set {keys}"
        if fault == "refused":
            check = "check the AWS credentials and the bucket's policy"
            return f"store {self.uri}: access refused by {_endpoint()} ({code}); {check}"
        return f"store {self.uri}: {_endpoint()} does not answer ({code}); check AWS_ENDPOINT_URL and the network"


def _endpoint() -> str:
    """The endpoint as it may be printed: without the user and password that some write into it."""
    given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not given:
        return "AWS S3"
    parts = urlsplit(given)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _client_errors() -> tuple[type[Exception], ...]:
    """What the layers below may raise: s3fs, botocore, aiohttp and the standard library."""
    import botocore.exceptions as boto

    # ValueError: botocore's word for a malformed endpoint.
    return (OSError, ValueError, boto.BotoCoreError, boto.ClientError, *_passing_errors())


def _passing_errors() -> tuple[type[Exception], ...]:
    """Dropped connections, time-outs and answers cut short (a server in trouble may send half an XML)."""
    import aiohttp
    import botocore.exceptions as boto
    from botocore.parsers import ResponseParserError

    unreachable = (
        boto.HTTPClientError,
        boto.ConnectionError,
        ResponseParserError,
        aiohttp.ClientError,
        http.client.HTTPException,
    )
    return (ConnectionError, TimeoutError, *unreachable)


def _classify(error: Exception) -> tuple[Fault, str]:
    """What went wrong, and a code to show. s3fs hides the server's answer behind an OSError's cause."""
    import botocore.exceptions as boto

    answer = error if isinstance(error, boto.ClientError) else error.__cause__
    if isinstance(answer, boto.ClientError):
        code = str(answer.response.get("Error", {}).get("Code", "unknown"))
        status = int(answer.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return _of_answer(code, status), code
    name = type(error).__name__
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.ProfileNotFound):
        return "no credentials", name
    if isinstance(error, ValueError | boto.ParamValidationError):
        return "malformed", name
    if isinstance(error, _passing_errors()):
        return "again", name
    return "other", name


def _of_answer(code: str, status: int) -> Fault:
    if status == 412 or code == "PreconditionFailed":
        return "exists"
    if code in _AGAIN_CODES or status == 429 or status >= 500:
        return "again"
    if code == "NoSuchBucket":
        return "no bucket"
    if status == 404:
        return "absent"
    if status in (401, 403):
        return "refused"
    return "other"
