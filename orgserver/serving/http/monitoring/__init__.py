"""What machines that watch over a server are told: whether it lives, whether it can work, what it has done."""
