"""Pages for people: templates, and what a signed-in person sees and does at /me."""
