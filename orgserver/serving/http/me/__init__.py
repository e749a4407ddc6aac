"""``/me``: what people who are signed in see of what is theirs, end, and allow."""
