"""Questions about photographs from VQA-v2, with a statement that agrees with the picture or not; the user's files."""
