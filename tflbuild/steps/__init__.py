"""The steps of a build, a folder for each domain: `spec` lists the kinds of step, the other modules run them."""
