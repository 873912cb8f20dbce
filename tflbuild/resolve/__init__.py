"""The stage resolve: paths, handles, user code and tools become digests."""
