"""Networks from video to features, one file each, and the key maps of published weights."""
