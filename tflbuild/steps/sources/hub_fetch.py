"""The step `fetch`: it downloads a TF Hub handle, or unpacks a local archive, to a SavedModel folder.

The request for an http(s) handle is the same as that of the resolver of tensorflow_hub 0.16, also for Kaggle and
tfhub.dev, which redirect to a storage server. In addition, this module has time limits, retries, and a check that the
download is complete. The archive is untrusted: see `tflbuild.runtime.untrusted_archives`.
"""

from __future__ import annotations

import importlib
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import requests
import urllib3

from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.runtime.untrusted_archives import (
    ARCHIVES,
    BY_HAND,
    CHUNK,
    MAX_BYTES,
    WHERE,
    DownloadedArchive,
    name_refusal_reason,
    refuse,
    unpack,
)
from tflbuild.terminal.addresses import innermost, public_part

MODEL = "saved_model.pb"

FORMAT = ("tf-hub-format", "compressed")
# A mirror with a separate server for archives. Both addresses are those in tensorflow_hub.
CHINA = "https://hub.tensorflow.google.cn/"
CHINA_ARCHIVE = "https://gcs.tensorflow.google.cn/tfhub-modules/{}.tar.gz"
KAGGLE_PATH = re.compile(
    r"/models/([^/]+)/([^/]+)/(?:frameworks/)?([^/]+)/(?:variations/)?([^/]+)(?:/(?:versions/)?(\d+))?/?"
)
# Time limits for a connection, and for a pause between two bytes.
CONNECT_SECONDS, READ_SECONDS = 10, 30
# Seconds before the second and the third attempt.
WAITS = (0.5, 2.0)
# The maximum pause in seconds that a server may request with Retry-After.
MAX_WAIT = 20.0
# Errors that another attempt cannot fix.
PERMANENT_ERRORS = (requests.exceptions.InvalidSchema, requests.exceptions.InvalidProxyURL, requests.TooManyRedirects)
URL_ERRORS = (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError)
CHECK_ADDRESS = "open the address in a browser to see where it redirects to, and check HTTPS_PROXY"
OTHER_MODELS = {".keras": "keras", ".h5": "keras", ".tflite": "tflite"}


class RetryableError(Exception):
    """A failure that another attempt may fix. `wait` is the pause in seconds that the server requested."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class ModelForbiddenError(Exception):
    """The server refuses access to a model. `urls` are the addresses of the redirects and of the answer."""

    def __init__(self, reason: str, urls: list[str]) -> None:
        super().__init__(reason)
        self.urls = urls


def run(request: StepRequest) -> Facts:
    """Run the step `fetch`. Its output is the folder `model/`.

    Returns:
        Facts: `url`, the address of the download ("" for a local archive); `bytes`, its size; `files`, their number.
    """
    folder = request.folder / "unpacked"
    label = str(request.params.get("handle", "")) or request.labels["archive"]
    if "archive" in request.inputs:
        archive = DownloadedArchive(request.inputs["archive"], label)
        unpack(archive, folder)
        url, size = "", archive.path.stat().st_size
    elif label.partition("://")[0].lower() in ("http", "https"):
        url, size = fetch_http(label, request.folder, folder)
    else:
        url, size = fetch_with_tensorflow(label, request.folder, folder)
    model = request.outputs / "model"
    find_model(folder, label).rename(model)
    return {"url": url, "bytes": size, "files": sum(path.is_file() for path in model.rglob("*"))}


def fetch_http(handle: str, scratch: Path, folder: Path) -> tuple[str, int]:
    """Download and unpack a model, and return its URL and the size of the download in bytes.

    Kaggle requires a login for some models. They are fetched with kagglehub.
    """
    try:
        archive = download(handle, scratch / "download")
    except ModelForbiddenError as refusal:
        if kaggle := next(filter(None, map(kaggle_name, [handle, *refusal.urls])), ""):
            return fetch_with_kagglehub(handle, kaggle, str(refusal), scratch, folder)
        raise WorkerError(
            f"'{handle}' is refused",
            kind="environment",
            where=WHERE,
            why=str(refusal),
            next_step="check whether the server needs your consent, or credentials in ~/.netrc; the models of"
            f" tfhub.dev are now at https://www.kaggle.com/models; or {BY_HAND}",
        ) from None
    unpack(archive, folder)
    size = archive.path.stat().st_size
    archive.path.unlink()
    return archive.url, size


def hub_url(handle: str) -> str:
    """Return the URL of a handle with the parameters that request an archive. Raise WorkerError for an invalid URL.

    The URL of an archive is not changed, since it may be signed.
    """
    try:
        parts = urlsplit(handle)
        is_valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise WorkerError(f"'{handle}' is not a valid URL", where=WHERE, next_step="correct the host or the port")
    if handle.startswith(CHINA):
        return CHINA_ARCHIVE.format(handle[len(CHINA) :])
    if parts.path.endswith(ARCHIVES) or FORMAT in parse_qsl(parts.query):
        return urlunsplit(parts._replace(fragment=""))
    query = "&".join(filter(None, (parts.query, "=".join(FORMAT))))
    return urlunsplit(parts._replace(query=query, fragment=""))


def download(handle: str, path: Path) -> DownloadedArchive:
    """Download the archive of a handle, in up to three attempts. Raise WorkerError or ModelForbiddenError."""
    url = hub_url(handle)
    for wait in (*WAITS, None):
        try:
            return download_once(handle, url, path)
        except RetryableError as failure:
            print(f"{public_part(url)}: {failure}")
            if wait is None:
                raise WorkerError(
                    f"cannot fetch '{handle}'",
                    kind="environment",
                    where=WHERE,
                    why=f"{failure} (tried {len(WAITS) + 1} times)",
                    next_step=f"check the connection, and HTTPS_PROXY if you need a proxy; build again; or {BY_HAND}",
                ) from failure
            time.sleep(max(wait, min(failure.wait, MAX_WAIT)))
    raise AssertionError


def download_once(handle: str, url: str, path: Path) -> DownloadedArchive:
    """Try once to download an archive. The exceptions are those of `require_success` and `save`, among others."""
    try:
        with requests.get(
            url,
            stream=True,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            headers={"Accept-Encoding": "identity"},
            verify=certificates(),
        ) as response:
            require_success(response, handle)
            save(response, handle, path)
            return DownloadedArchive(path, handle, public_part(response.url), response.headers.get("Content-Type", ""))
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        reason = innermost(error)
        certificate = "CERTIFICATE_VERIFY_FAILED" in reason
        if certificate or isinstance(error, PERMANENT_ERRORS):
            raise WorkerError(
                f"cannot fetch '{handle}'",
                kind="environment",
                where=WHERE,
                why=reason,
                next_step=("name your own certificates with REQUESTS_CA_BUNDLE" if certificate else CHECK_ADDRESS)
                + f"; or {BY_HAND}",
            ) from error
        if isinstance(error, URL_ERRORS):
            raise WorkerError(
                f"'{handle}' is not a valid URL", where=WHERE, why=reason, next_step="correct the handle"
            ) from error
        raise RetryableError(reason) from error


def certificates() -> str | bool:
    """Return the file or folder of trusted certificates, or True for those of the package `requests`.

    `requests` reads the variable REQUESTS_CA_BUNDLE. tensorflow_hub uses Python's `ssl`, which reads SSL_CERT_FILE.

    Raises:
        WorkerError: A variable does not contain the absolute path of an existing file or folder.
    """
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(variable):
            if Path(path).is_absolute() and Path(path).exists():
                return path
            raise WorkerError(
                f"{variable} does not name certificates",
                kind="environment",
                why=f"'{path}' does not exist, or is not an absolute path",
                next_step=f"correct the variable {variable}, or unset it",
            )
    return True


def require_success(response: requests.Response, handle: str) -> None:
    """Raise the error for any HTTP status other than 200.

    Raises:
        RetryableError: The server is busy or has failed.
        ModelForbiddenError: The server refuses access.
        WorkerError: All other cases.
    """
    code = response.status_code
    if code == 200:
        return
    body = response.raw.read(200, decode_content=False).decode(errors="replace")
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in body).split())
    reason = f"{public_part(response.url)} answered {code} {response.reason}" + (f": {text}" if text else "")
    if code == 429 or code >= 500:
        pause = response.headers.get("Retry-After", "")
        raise RetryableError(reason, float(pause) if pause.isascii() and pause.isdigit() else 0.0)
    if code in (401, 403):
        raise ModelForbiddenError(reason, [answer.url for answer in (*response.history, response)])
    if code in (400, 404, 410):
        raise WorkerError(
            f"there is no model at '{handle}'",
            where=WHERE,
            why=reason,
            next_step="open it in a browser; the models of tfhub.dev are now at https://www.kaggle.com/models",
        )
    raise WorkerError(f"cannot fetch '{handle}'", kind="environment", where=WHERE, why=reason, next_step=BY_HAND)


def save(response: requests.Response, handle: str, path: Path) -> None:
    """Write the body of a response to a file, without decoding it.

    Raise RetryableError if it is shorter than the server announced, and WorkerError if it is longer than MAX_BYTES.
    """
    announced = response.headers.get("Content-Length", "")
    size = 0
    with open(path, "wb") as file:
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            size += file.write(chunk)
            if size > MAX_BYTES:
                refuse(handle, f"it is longer than {MAX_BYTES:,} bytes")
    if announced.isdigit() and int(announced) != size:
        raise RetryableError(f"the download is incomplete: {size:,} of {int(announced):,} bytes were received")


def kaggle_name(url: str) -> str:
    """Return `owner/model/framework/variation[/version]` of the URL of a Kaggle model; "" for any other URL."""
    parts = urlsplit(url)
    match = KAGGLE_PATH.fullmatch(parts.path)
    if match is None or parts.hostname not in ("kaggle.com", "www.kaggle.com"):
        return ""
    return "/".join(filter(None, match.groups()))


def fetch_with_kagglehub(handle: str, name: str, refusal: str, scratch: Path, folder: Path) -> tuple[str, int]:
    """Download a model with kagglehub, which logs in to Kaggle. Return its URL and its size in bytes.

    Args:
        handle: The handle in the recipe.
        name: The name that `kaggle_name` returned.
        refusal: The answer of the server to the request without a login.
        scratch: A folder for temporary files.
        folder: The folder to make.

    Raises:
        WorkerError: kagglehub is not installed, cannot fetch the model, or downloaded a link.
    """
    os.environ["KAGGLEHUB_CACHE"] = str(scratch / "kaggle")
    install, reason = "", refusal
    try:
        download = Path(importlib.import_module("kagglehub").model_download(name))
    except ImportError:
        download, install = None, ", and pip install kagglehub"
    # kagglehub, kagglesdk and requests have exceptions of their own, whose messages say why the download failed.
    except Exception as error:
        download, reason = None, f"{refusal}\nkagglehub: {innermost(error)}"
    if download is None:
        raise WorkerError(
            f"Kaggle refuses '{handle}'",
            kind="environment",
            where=WHERE,
            why=reason,
            next_step="accept the terms on the model's page, set KAGGLE_USERNAME and KAGGLE_KEY (create them in the"
            f" settings of Kaggle){install}; or {BY_HAND}",
        )
    for path in download.rglob("*"):
        if path.is_symlink():
            refuse(handle, f"{path.name!a} is a symbolic link")
    download.rename(folder)
    return f"https://www.kaggle.com/models/{name}", sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def fetch_with_tensorflow(handle: str, scratch: Path, folder: Path) -> tuple[str, int]:
    """Fetch a handle such as gs://... with tensorflow_hub and TensorFlow. Return the handle and the size in bytes.

    Raises:
        WorkerError: The handle is a file on this machine, tensorflow_hub is missing, or the model cannot be fetched.
    """
    if urlsplit(handle).scheme == "file":
        raise WorkerError(
            f"'{handle}' is on this machine",
            where=WHERE,
            why="a URL is fetched only once, so a change of the file would not be noticed",
            next_step="write the path of the file, without file://",
        )
    os.environ["TFHUB_CACHE_DIR"] = str(scratch / "hub")
    try:
        hub, tensorflow = (importlib.import_module(name) for name in ("tensorflow_hub", "tensorflow"))
    except ImportError as error:
        install = 'pip install tensorflow-hub "setuptools<81"'
        raise WorkerError(
            "tensorflow_hub cannot be imported", kind="environment", why=str(error), next_step=install
        ) from error
    path = scratch / "download"
    try:
        if not handle.endswith(ARCHIVES):
            return handle, copy_tree(tensorflow.io.gfile, hub.resolve(handle), folder)
        tensorflow.io.gfile.copy(handle, str(path))
    except (tensorflow.errors.OpError, OSError) as error:
        raise convert_read_error(handle, error) from error
    unpack(DownloadedArchive(path, handle), folder)
    return handle, path.stat().st_size


def copy_tree(gfile: Any, source: str, folder: Path) -> int:
    """Copy a folder of any file system that TensorFlow supports, and return its size in bytes."""
    total = 0
    for parent, _, names in gfile.walk(source):
        relative_parent = parent[len(source) :].strip("/")
        for name in filter(None, names):
            relative = f"{relative_parent}/{name}" if relative_parent else name
            if reason := name_refusal_reason(relative):
                refuse(source, reason)
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            gfile.copy(gfile.join(parent, name), str(target))
            total += target.stat().st_size
    return total


def convert_read_error(handle: str, error: Exception) -> Exception:
    """Convert an exception of TensorFlow to a WorkerError that names the handle.

    An exception of the operating system, such as for a full disk, is returned unchanged.
    """
    reason = str(error).strip().split("\n")[0][:300]
    name = type(error).__name__
    if "no space left" in reason.lower() or getattr(error, "errno", None) is not None:
        return error
    if name == "UnimplementedError":
        scheme = urlsplit(handle).scheme
        return WorkerError(
            f"the installed TensorFlow cannot read {scheme}:// addresses", where=WHERE, why=reason, next_step=BY_HAND
        )
    if name == "NotFoundError" or reason.endswith("does not exist."):
        return WorkerError(f"there is no model at '{handle}'", where=WHERE, why=reason, next_step="correct the handle")
    return WorkerError(
        f"cannot fetch '{handle}'",
        kind="environment",
        where=WHERE,
        why=reason,
        next_step="check the connection; a private bucket needs GOOGLE_APPLICATION_CREDENTIALS; or " + BY_HAND,
    )


def find_model(folder: Path, label: str) -> Path:
    """Return the folder of the SavedModel: `folder` itself, or the only SavedModel directly below it.

    Raises:
        WorkerError: There is no SavedModel, or more than one.
    """
    if (folder / MODEL).is_file():
        return folder
    model_folders = sorted(path.parent for path in folder.glob(f"*/{MODEL}"))
    if len(model_folders) == 1:
        return model_folders[0]
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    file_list = ", ".join(files[:10]) + (f" and {len(files) - 10} more" if len(files) > 10 else "")
    source_option = next((OTHER_MODELS[suffix] for name in files if (suffix := Path(name).suffix) in OTHER_MODELS), "")
    raise WorkerError(
        f"'{label}' contains " + (f"{len(model_folders)} SavedModels" if model_folders else "no SavedModel"),
        where=WHERE,
        why=f"a SavedModel is a folder with a {MODEL}; there is: {file_list or 'nothing'}",
        next_step=f"extract the file and use source={source_option}"
        if source_option
        else f"look for the model in SavedModel format; or {BY_HAND}",
    )
