"""Small trainable modules after each block of a frozen backbone: one paper, one file."""
