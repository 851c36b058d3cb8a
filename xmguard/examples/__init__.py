"""Programs that show how xmguard is used, short enough to copy from."""
