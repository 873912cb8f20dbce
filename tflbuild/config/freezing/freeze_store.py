"""Freeze the settings of the remote cache, which are not part of the recipe.

Who names the cache decides what it may do. A cache that the command line or the environment variables name is the
user's own. A cache that a recipe (or a file that it includes) names is used once the user has confirmed it. Its address
may not contain an interpolation, since the value would be sent to that host.
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
# The commands that take a recipe.
CONFIRMING = ("build", "plan", "explain", "doctor", "sensitivity", "advise", "benchmark")


def freeze_store(composed: Sequence[Composed]) -> RemoteCacheSettings | None:
    """Return the settings of the remote cache that all variants use, or None without one.

    Raises:
        RecipeError: for settings that are not valid, or that differ between variants.
    """
    settings = [_freeze(variant) for variant in composed]
    if any(shared != settings[0] for shared in settings):
        raise RecipeError(
            "the variants of a sweep share one store",
            where=composed[0].locations.find("store"),
            why="what is shared is asked once for all of them",
            next_step="give store.remote and store.push one value each",
        )
    return settings[0]


def confirm_store(command: str, overrides: Sequence[str], *, multirun: bool) -> None:
    """Record that the user trusts the remote cache that a recipe names.

    Raises:
        UsageError: if no recipe of the command names one.
    """
    if command not in CONFIRMING:
        raise UsageError(
            f"--trust-store does not go with {command}", where="command line", next_step="build the recipe"
        )
    composed = compose(list(overrides), multirun=multirun)
    recipe_caches = [variant for variant in composed if variant.build.store.remote and not _is_own_remote(variant)]
    for variant in recipe_caches:
        shared = _freeze(variant)
        assert shared is not None
        confirm(_uses(variant), shared.origin)
    if not recipe_caches:
        raise UsageError(
            "--trust-store has nothing to confirm",
            where="command line",
            why="no recipe of this command names a shared store; what you name yourself needs no confirmation",
            next_step="leave it out",
        )


def note_unconfirmed(shared: RemoteCacheSettings | None) -> list[str]:
    """Return a warning about a remote cache that is not used as the recipe asks, if the user has not confirmed it."""
    if shared is None or not shared.unconfirmed:
        return []
    if shared.usable:
        refusal = f"sends nothing to the shared store {shared.origin}, which {shared.where} asks for"
    else:
        refusal = f"does not use the shared store {shared.origin} of {shared.where}"
    return [f"warning: this build {refusal}: you have not confirmed it; if you trust it, add --trust-store once"]


def _freeze(composed: Composed) -> RemoteCacheSettings | None:
    store = composed.build.store
    if not store.remote:
        if store.push and ("store.remote" not in composed.typed or "store.push" in composed.typed):
            raise RecipeError(
                "store.push=true has nowhere to push to",
                where=_locate("store.push", composed),
                next_step="name the shared store: store.remote=https://HOST/PATH",
            )
        return None
    if reason := _find_url_fault(store.remote):
        raise RecipeError(
            f"'{_hide_user(store.remote)}' names no shared store",
            where=_locate("store.remote", composed).replace(store.remote, _hide_user(store.remote)),
            why=reason,
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
        where=_locate("store.remote", composed),
    )


def _uses(composed: Composed) -> tuple[Use, ...]:
    """Return the uses of the remote cache that the recipe asks for and the user did not set.

    Raises:
        RecipeError: for an interpolation in the address that a recipe names.
    """
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
    """Return whether the user named the remote cache: on the command line or with the environment variable."""
    typed = composed.typed.get("store.remote")
    if typed is not None and typed == composed.written_store.get("remote"):
        return True
    return composed.build.store.remote == os.environ.get(VARIABLES["store.remote"])


def _locate(key: str, composed: Composed) -> str:
    """Return where a key is written, or the environment variable that sets it."""
    location = composed.locations.find(key)
    return f"{key}, from the variable {VARIABLES[key]}" if location == key else location


def _hide_user(url: str) -> str:
    """Return a URL without the user and the password, even if the URL is not valid."""
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def _find_url_fault(url: str) -> str:
    """Return why a URL cannot be that of a remote cache, or ""."""
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
