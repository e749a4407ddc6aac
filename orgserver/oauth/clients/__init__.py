"""What a client may say of itself: its id, its redirect URIs, the document that describes it."""
