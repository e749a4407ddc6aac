"""The log and what it says of grants, as pages that can be printed."""
