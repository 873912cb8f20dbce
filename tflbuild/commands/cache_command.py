"""The command `cache`: show the size of the store, or empty it."""

from __future__ import annotations

import argparse
import json

from tflbuild.errors import EXIT_DONE, UsageError


def cache(options: argparse.Namespace, _: list[str]) -> int:
    """Print the size of the store, or empty it."""
    from tflbuild.core.byte_sizes import show_bytes
    from tflbuild.locations import store_root
    from tflbuild.storage.digest_cache import walk_files
    from tflbuild.storage.store import Store, clear

    if options.overrides:
        raise UsageError("cache takes no overrides", where=f"command line: {options.overrides[0]}")
    root = store_root()
    actions = sum(1 for _ in Store(root).records())
    size = sum(file.stat().st_size for file in walk_files(root / "cas"))
    if options.clear:
        clear(root)
    if options.json:
        print(json.dumps({"path": str(root), "results": actions, "bytes": size, "cleared": options.clear}))
    else:
        print(f"{'cleared' if options.clear else 'store'}  {root}  {actions} results, {show_bytes(size)}")
    return EXIT_DONE
