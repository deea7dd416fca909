"""From video files to batches: decoding, clips, transforms, sampling."""
