"""Reports: stored results become values, values become a document, and a document becomes text of some kind."""
