"""The store: blobs by digest, results of steps by key; here and on shared servers."""
