"""Schema -> Shared: the store that is shared with others, no part of the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from tflbuild.config.compose import Composed
from tflbuild.core.shared import SCHEMES, Shared
from tflbuild.errors import RecipeError, nearest

VARIABLES = {"store.remote": "TFLBUILD_REMOTE", "store.push": "TFLBUILD_PUSH"}


def freeze_store(composed: Sequence[Composed]) -> Shared | None:
    """The shared store of all variants, None where none is named. Raises RecipeError for one that cannot be."""
    found = [_freeze(one) for one in composed]
    if any(shared != found[0] for shared in found):
        raise RecipeError(
            "the variants of a sweep share one store",
            where=composed[0].places.find("store"),
            why="what is shared is asked once for all of them",
            next_step="give store.remote and store.push one value each",
        )
    return found[0]


def _freeze(composed: Composed) -> Shared | None:
    store = composed.build.store
    if not store.remote:
        if store.push:
            raise RecipeError(
                "store.push=true has nowhere to push to",
                where=_place("store.push", composed),
                next_step="name the shared store: store.remote=https://HOST/PATH",
            )
        return None
    if why := _wrong(store.remote):
        raise RecipeError(
            f"'{_shown(store.remote)}' names no shared store",
            where=_place("store.remote", composed).replace(store.remote, _shown(store.remote)),
            why=why,
            next_step=f"{', '.join(f'{scheme}://' for scheme in SCHEMES)} and what follows: a host or a bucket, a path",
        )
    return Shared(url=store.remote, push=store.push)


def _place(key: str, composed: Composed) -> str:
    """The key, with the variable that sets it where nothing else does."""
    place = composed.places.find(key)
    return f"{key}, from the variable {VARIABLES[key]}" if place == key else place


def _shown(url: str) -> str:
    """A URL, however wrong, without the password that may be in it."""
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def _wrong(url: str) -> str:
    """Why a URL cannot be that of a shared store, "" where it can."""
    scheme, mark, _ = url.partition("://")
    if not mark:
        return "it has no scheme"
    if scheme not in SCHEMES:
        return f"the scheme '{scheme}' is not known; {nearest(scheme, SCHEMES)}"
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "its host or port is none"
    if not named:
        return "its host or port is none"
    return "it has a query or a fragment" if parts.query or parts.fragment else ""
