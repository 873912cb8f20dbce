"""The step `fetch`: a TF Hub handle, or an archive at hand, becomes the SavedModel folder behind it.

An http(s) handle is asked for as the resolver of tensorflow_hub 0.16 asks, Kaggle's and tfhub.dev's
included: these hubs answer by leading on to a storage. What that resolver lacks is added: limits of
time, retries, and a check that all has come. What comes is a stranger's: plain files below its own
folder are taken, and an archive that holds anything else is refused whole.
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
CHINA = "https://hub.tensorflow.google.cn/"  # tensorflow_hub knows where this mirror keeps its archives
CHINA_ARCHIVE = "https://gcs.tensorflow.google.cn/tfhub-modules/{}.tar.gz"
KAGGLE_PATH = re.compile(
    r"/models/([^/]+)/([^/]+)/(?:frameworks/)?([^/]+)/(?:variations/)?([^/]+)(?:/(?:versions/)?(\d+))?/?"
)
CONNECT_SECONDS, READ_SECONDS = 10, 30  # to a connection, and without a byte
WAITS = (0.5, 2.0)  # seconds before each further attempt
LONGEST_WAIT = 20.0  # that a server may ask for
LASTING = (requests.exceptions.InvalidSchema, requests.exceptions.InvalidProxyURL, requests.TooManyRedirects)
NO_URL = (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError)
ELSEWHERE = "see in a browser where it leads, and check HTTPS_PROXY"
OTHER_MODELS = {".keras": "keras", ".h5": "keras", ".tflite": "tflite"}


class RetryableError(Exception):
    """A failure that may be gone in a moment; `wait` is what the server asked for, in seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class ModelForbiddenError(Exception):
    """The hub knows the model and does not give it; `urls` are those that led there."""

    def __init__(self, why: str, urls: list[str]) -> None:
        super().__init__(why)
        self.urls = urls


def run(request: StepRequest) -> Facts:
    """Output model/. Facts: `url` that the bytes came from ("" for a local archive), `bytes` that came, `files`."""
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


# http


def fetch_http(handle: str, scratch: Path, folder: Path) -> tuple[str, int]:
    """Download and unpack; (URL, bytes). Kaggle gives some models to those alone who say who they are."""
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
            next_step="see whether it asks for consent or for credentials, which may stand in ~/.netrc; the models of"
            f" tfhub.dev are now at https://www.kaggle.com/models; or {BY_HAND}",
        ) from None
    unpack(archive, folder)
    size = archive.path.stat().st_size
    archive.path.unlink()
    return archive.url, size


def hub_url(handle: str) -> str:
    """What to ask a hub for. The URL of an archive is left alone: it may be signed. Raises WorkerError for no URL."""
    try:
        parts = urlsplit(handle)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise WorkerError(f"'{handle}' is no URL", where=WHERE, next_step="correct the host or the port")
    if handle.startswith(CHINA):
        return CHINA_ARCHIVE.format(handle[len(CHINA) :])
    if parts.path.endswith(ARCHIVES) or FORMAT in parse_qsl(parts.query):
        return urlunsplit(parts._replace(fragment=""))
    query = "&".join(filter(None, (parts.query, "=".join(FORMAT))))
    return urlunsplit(parts._replace(query=query, fragment=""))


def download(handle: str, path: Path) -> DownloadedArchive:
    """The archive behind a handle, tried again where that may help. Raises WorkerError or Forbidden."""
    url = hub_url(handle)
    for wait in (*WAITS, None):
        try:
            return download_once(handle, url, path)
        except RetryableError as trouble:
            print(f"{public_part(url)}: {trouble}")
            if wait is None:
                raise WorkerError(
                    f"cannot fetch '{handle}'",
                    kind="environment",
                    where=WHERE,
                    why=f"{trouble} (tried {len(WAITS) + 1} times)",
                    next_step=f"check the connection, and HTTPS_PROXY if one is needed, and build again; or {BY_HAND}",
                ) from trouble
            time.sleep(max(wait, min(trouble.wait, LONGEST_WAIT)))
    raise AssertionError


def download_once(handle: str, url: str, path: Path) -> DownloadedArchive:
    """One attempt. Raises Passing, Forbidden or WorkerError."""
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
        why = innermost(error)
        certificate = "CERTIFICATE_VERIFY_FAILED" in why
        if certificate or isinstance(error, LASTING):
            raise WorkerError(
                f"cannot fetch '{handle}'",
                kind="environment",
                where=WHERE,
                why=why,
                next_step=("name your own certificates with REQUESTS_CA_BUNDLE" if certificate else ELSEWHERE)
                + f"; or {BY_HAND}",
            ) from error
        if isinstance(error, NO_URL):
            raise WorkerError(f"'{handle}' is no URL", where=WHERE, why=why, next_step="correct it") from error
        raise RetryableError(why) from error


def certificates() -> str | bool:
    """The file or folder of certificates to trust, or True for those of requests. Raises WorkerError for none there.

    requests knows one of these variables, and tensorflow_hub, by way of Python, the other.
    """
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(variable):
            if Path(path).is_absolute() and Path(path).exists():
                return path
            raise WorkerError(
                f"{variable} names no certificates",
                kind="environment",
                why=f"there is no {path}, or it is no absolute path",
                next_step=f"correct the variable {variable}, or unset it",
            )
    return True


def require_success(response: requests.Response, handle: str) -> None:
    """Raise what an answer other than 200 comes to."""
    code = response.status_code
    if code == 200:
        return
    body = response.raw.read(200, decode_content=False).decode(errors="replace")
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in body).split())
    why = f"{public_part(response.url)} answered {code} {response.reason}" + (f": {text}" if text else "")
    if code == 429 or code >= 500:
        asked = response.headers.get("Retry-After", "")
        raise RetryableError(why, float(asked) if asked.isascii() and asked.isdigit() else 0.0)
    if code in (401, 403):
        raise ModelForbiddenError(why, [one.url for one in (*response.history, response)])
    if code in (400, 404, 410):
        raise WorkerError(
            f"there is no model at '{handle}'",
            where=WHERE,
            why=why,
            next_step="open it in a browser; what tfhub.dev had is now at https://www.kaggle.com/models",
        )
    raise WorkerError(f"cannot fetch '{handle}'", kind="environment", where=WHERE, why=why, next_step=BY_HAND)


def save(response: requests.Response, handle: str, path: Path) -> None:
    """The body, as it was sent. Raises Passing when less came than was announced, WorkerError for what never ends."""
    announced = response.headers.get("Content-Length", "")
    size = 0
    with open(path, "wb") as file:
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            size += file.write(chunk)
            if size > MAX_BYTES:
                refuse(handle, f"it is longer than {MAX_BYTES:,} bytes")
    if announced.isdigit() and int(announced) != size:
        raise RetryableError(f"the download broke off: {size:,} of {int(announced):,} bytes came")


# other ways


def kaggle_name(url: str) -> str:
    """owner/model/framework/variation[/version] of a URL of a Kaggle model; empty for any other URL."""
    parts = urlsplit(url)
    found = KAGGLE_PATH.fullmatch(parts.path)
    if found is None or parts.hostname not in ("kaggle.com", "www.kaggle.com"):
        return ""
    return "/".join(filter(None, found.groups()))


def fetch_with_kagglehub(handle: str, name: str, refusal: str, scratch: Path, folder: Path) -> tuple[str, int]:
    """A model that Kaggle gives to those alone who say who they are, by Kaggle's own package; (URL, bytes)."""
    os.environ["KAGGLEHUB_CACHE"] = str(scratch / "kaggle")
    install, why = "", refusal
    try:
        place = Path(importlib.import_module("kagglehub").model_download(name))
    except ImportError:
        place, install = None, ", and pip install kagglehub"
    except Exception as error:  # kagglehub's, kagglesdk's or those of requests; all say why no model came
        place, why = None, f"{refusal}\nkagglehub: {innermost(error)}"
    if place is None:
        raise WorkerError(
            f"Kaggle refuses '{handle}'",
            kind="environment",
            where=WHERE,
            why=why,
            next_step="accept the terms on the model's page, set KAGGLE_USERNAME and KAGGLE_KEY (Kaggle's settings make"
            f" them){install}; or {BY_HAND}",
        )
    for path in place.rglob("*"):
        if path.is_symlink():
            refuse(handle, f"{path.name!a} is a symbolic link")
    place.rename(folder)
    return f"https://www.kaggle.com/models/{name}", sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def fetch_with_tensorflow(handle: str, scratch: Path, folder: Path) -> tuple[str, int]:
    """A handle that is no http(s) URL, such as gs://, as tensorflow_hub and TensorFlow read it; (URL, bytes)."""
    if urlsplit(handle).scheme == "file":
        raise WorkerError(
            f"'{handle}' is on this machine",
            where=WHERE,
            why="what a URL names is fetched once, and a change of the file would not be seen",
            next_step="give its path, without file://",
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
        raise unread(handle, error) from error
    unpack(DownloadedArchive(path, handle), folder)
    return handle, path.stat().st_size


def copy_tree(gfile: Any, source: str, folder: Path) -> int:
    """Copy a folder of any file system that TensorFlow knows; its bytes."""
    total = 0
    for place, _, names in gfile.walk(source):
        below = place[len(source) :].strip("/")
        for name in filter(None, names):
            relative = f"{below}/{name}" if below else name
            if why := name_refusal_reason(relative):
                refuse(source, why)
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            gfile.copy(gfile.join(place, name), str(target))
            total += target.stat().st_size
    return total


def unread(handle: str, error: Exception) -> Exception:
    """What TensorFlow's complaint about a handle comes to; a full disk stays what it is."""
    why = str(error).strip().split("\n")[0][:300]
    name = type(error).__name__
    if "no space left" in why.lower() or getattr(error, "errno", None) is not None:
        return error
    if name == "UnimplementedError":
        scheme = urlsplit(handle).scheme
        return WorkerError(f"TensorFlow here reads no {scheme}://", where=WHERE, why=why, next_step=BY_HAND)
    if name == "NotFoundError" or why.endswith("does not exist."):
        return WorkerError(f"there is no model at '{handle}'", where=WHERE, why=why, next_step="correct the handle")
    return WorkerError(
        f"cannot fetch '{handle}'",
        kind="environment",
        where=WHERE,
        why=why,
        next_step="check the connection; a private bucket needs GOOGLE_APPLICATION_CREDENTIALS; or " + BY_HAND,
    )


# what came


def find_model(folder: Path, label: str) -> Path:
    """The SavedModel's folder: this one, or the only one directly below that is one. Raises WorkerError for neither."""
    if (folder / MODEL).is_file():
        return folder
    deeper = sorted(path.parent for path in folder.glob(f"*/{MODEL}"))
    if len(deeper) == 1:
        return deeper[0]
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    shown = ", ".join(files[:10]) + (f" and {len(files) - 10} more" if len(files) > 10 else "")
    other = next((OTHER_MODELS[suffix] for name in files if (suffix := Path(name).suffix) in OTHER_MODELS), "")
    raise WorkerError(
        f"'{label}' holds " + (f"{len(deeper)} SavedModels" if deeper else "no SavedModel"),
        where=WHERE,
        why=f"a SavedModel is a folder with a {MODEL}; there is: {shown or 'nothing'}",
        next_step=f"take the file out and use source={other}"
        if other
        else f"look for its SavedModel form; or {BY_HAND}",
    )
