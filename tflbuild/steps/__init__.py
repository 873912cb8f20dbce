"""The steps of a build, a folder for each domain: `spec` says what there is, the modules beside it do the work."""
