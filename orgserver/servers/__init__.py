"""The servers over an app: on standard input and output, and over HTTP."""
