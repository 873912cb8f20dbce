"""Schema -> Shared: the store that is shared with others, no part of the recipe.

Whose wish it is decides what it may do. What the command line or the user's variables name is the user's own. What a
recipe names (or a file that it includes) is used once the user has agreed to it, and may hold no interpolation: its
value would be sent to that host.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import urlsplit

from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.composed_variant import Composed
from tflbuild.config.composing.trusted_stores import confirm, list_missing
from tflbuild.core.remote_cache_settings import SCHEMES, RemoteCacheSettings, Use, store_origin
from tflbuild.core.secret_urls import SecretUrl
from tflbuild.errors import RecipeError, UsageError, nearest

VARIABLES = {"store.remote": "TFLBUILD_REMOTE", "store.push": "TFLBUILD_PUSH"}
INTERPOLATION = "${"
CONFIRMING = ("build", "plan", "explain", "doctor", "sensitivity", "advise", "benchmark")  # commands with recipes


def freeze_store(composed: Sequence[Composed]) -> RemoteCacheSettings | None:
    """The shared store of all variants, None where none is named. Raises RecipeError for one that cannot be."""
    found = [_freeze(one) for one in composed]
    if any(shared != found[0] for shared in found):
        raise RecipeError(
            "the variants of a sweep share one store",
            where=composed[0].locations.find("store"),
            why="what is shared is asked once for all of them",
            next_step="give store.remote and store.push one value each",
        )
    return found[0]


def confirm_store(verb: str, overrides: Sequence[str], *, multirun: bool) -> None:
    """Write down that the user agrees to the store that a recipe names. Raises UsageError where none is named."""
    if verb not in CONFIRMING:
        raise UsageError(f"--trust-store does not go with {verb}", where="command line", next_step="build the recipe")
    composed = compose(list(overrides), multirun=multirun)
    named = [one for one in composed if one.build.store.remote and not _is_own_remote(one)]
    for one in named:
        shared = _freeze(one)
        assert shared is not None
        confirm(_uses(one), shared.origin)
    if not named:
        raise UsageError(
            "--trust-store has nothing to confirm",
            where="command line",
            why="no recipe of this command names a shared store; what you name yourself needs no confirmation",
            next_step="leave it out",
        )


def note_unconfirmed(shared: RemoteCacheSettings | None) -> list[str]:
    """What to say of a store that is not used as the recipe asks."""
    if shared is None or not shared.unconfirmed:
        return []
    if shared.usable:
        told = f"sends nothing to the shared store {shared.origin}, which {shared.where} asks for"
    else:
        told = f"does not use the shared store {shared.origin} of {shared.where}"
    return [f"warning: this build {told}: you have not confirmed it; if you trust it, add --trust-store once"]


def _freeze(composed: Composed) -> RemoteCacheSettings | None:
    store = composed.build.store
    if not store.remote:
        if store.push and ("store.remote" not in composed.typed or "store.push" in composed.typed):
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
    if not store.seconds > 0:
        raise RecipeError(
            f"store.seconds is {store.seconds:g}, and must be more than 0",
            where=composed.locations.find("store.seconds"),
            next_step="how long a build may wait for the shared store in all; --offline does not ask it",
        )
    url = SecretUrl(store.remote)
    unconfirmed = list_missing(_uses(composed), store_origin(url))
    return RemoteCacheSettings(
        url=url,
        push=store.push and "push" not in unconfirmed,
        seconds=store.seconds,
        unconfirmed=unconfirmed,
        where=_place("store.remote", composed),
    )


def _uses(composed: Composed) -> tuple[Use, ...]:
    """What the recipe wants the store for and the user did not ask for. Raises RecipeError for an interpolation."""
    own_remote = _is_own_remote(composed)
    if not own_remote and INTERPOLATION in composed.written_store.get("remote", INTERPOLATION):
        raise RecipeError(
            "a recipe's shared store is plain text",
            where=composed.locations.find("store.remote"),
            why="the value of what it interpolates, such as a variable of yours, would be sent to that host",
            next_step="write the URL itself; user and password belong in ~/.netrc, or name the store yourself with"
            " the variable TFLBUILD_REMOTE",
        )
    own_push = "store.push" in composed.typed or (
        own_remote and os.environ.get(VARIABLES["store.push"], "").lower() in ("true", "yes", "on", "1")
    )
    read: tuple[Use, ...] = () if own_remote else ("read",)
    return (*read, "push") if composed.build.store.push and not own_push else read


def _is_own_remote(composed: Composed) -> bool:
    """Whether the user named the store: on the command line or with the variable."""
    typed = composed.typed.get("store.remote")
    if typed is not None and typed == composed.written_store.get("remote"):
        return True
    return composed.build.store.remote == os.environ.get(VARIABLES["store.remote"])


def _place(key: str, composed: Composed) -> str:
    """The key, with the variable that sets it where nothing else does."""
    place = composed.locations.find(key)
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
