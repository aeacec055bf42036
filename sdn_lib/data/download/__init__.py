"""Real birds and flowers, fetched from where their owners keep them: nothing is redistributed."""
