"""Where pictures and captions come from: painted birds, photographs, and their one form."""
