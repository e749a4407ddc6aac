"""The public face as files, so that each change of it is seen in review."""
