"""The store: blobs by digest and results of steps by cache key, on this machine and in remote caches."""
